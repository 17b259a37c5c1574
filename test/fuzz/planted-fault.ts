/**
 * A fault on purpose, preloaded into a service to see that the fuzzer finds it: a body that names `__proto__` reaches
 * the prototype of all objects, as careless code that copies fields would let it.
 */
const plain = JSON.parse

JSON.parse = (text, reviver) => {
  if (String(text).includes('"__proto__"')) Reflect.set(Object.prototype, 'planted', true)
  return plain(text, reviver)
}
