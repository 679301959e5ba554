// Loaded before a test script: names below `localhost` are this machine, as RFC 6761 has it and not every system resolver.
'use strict';

const dns = require('node:dns');

const system = dns.lookup;

dns.lookup = (name, options, callback) => {
  if (!name.endsWith('.localhost')) return system(name, options, callback);
  const done = callback ?? options;
  return process.nextTick(() => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)));
};
