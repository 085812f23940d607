// What is loaded and how much: everything comes from DATA/demo.json and the environment.
//
//   DATA   folder of the running installation, with its demo.json (needed)
//   URL    address to load; default: base_url of demo.json
//   RATE   arrivals a second; DURATION how long ("90s", "5m"); scenarios name further ones
//   SLOWER factor on every limit of latency, and of arrivals dropped, for a machine that others use
//          too; default 1
//   SEED   of all random choices; default 1
import exec from 'k6/execution';

const number = (name, fallback) => {
  const n = Number(__ENV[name] || fallback);
  if (!Number.isFinite(n) || n <= 0) throw new Error(`${name}=${__ENV[name]}: want a number above 0`);
  return n;
};

export const text = (name, fallback) => __ENV[name] || fallback;
export const whole = (name, fallback) => Math.max(1, Math.round(number(name, fallback)));
export const slower = number('SLOWER', 1);
export const seed = whole('SEED', 1);

if (!__ENV.DATA) throw new Error('DATA is not set: name the data folder of the installation, which holds demo.json');
const demoText = open(`${__ENV.DATA}/demo.json`);
const told = JSON.parse(demoText).base_url;

// url is the address that is loaded, without a slash at its end.
export const url = (__ENV.URL || told).replace(/\/+$/, '');

// here gives an address that the installation told, as we reach it.
export const here = (address) => (address.startsWith(told) ? url + address.slice(told.length) : address);

// demo is demo.json with all addresses as we reach them.
export const demo = JSON.parse(demoText.split(told).join(url));

// Nobody loads an installation of others by mistake.
const host = url.replace(/^https?:\/\//, '').replace(/[/?#].*$/, '').replace(/:\d+$/, '');
if (!/^(127(\.\d{1,3}){3}|localhost|\[::1\])$/.test(host) && __ENV.ALLOW_REMOTE !== '1') {
  throw new Error(`${url} is another machine. If you run it, or have its operator's word, say so with ALLOW_REMOTE=1.`);
}

// seconds reads "90s", "2m", "1h" or "500ms".
export function seconds(duration) {
  const parts = [...String(duration).matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== String(duration)) throw new Error(`${duration}: want a duration as 90s or 5m`);
  const unit = { ms: 0.001, s: 1, m: 60, h: 3600 };
  return parts.reduce((sum, p) => sum + Number(p[1]) * unit[p[2]], 0);
}

// users is how many virtual users an arrival rate gets: half a second of arrivals at
// once, and three seconds of them when the server is slow. What exceeds it is counted as
// dropped_iterations, which is a failure.
const users = (rate) => ({ preAllocatedVUs: Math.ceil(rate / 2) + 10, maxVUs: rate * 3 + 30 });

// steady is a scenario with so many arrivals a second, answered or not (an open model).
export function steady(rate, duration, more = {}) {
  return { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, gracefulStop: '20s', ...users(rate), ...more };
}

// ramp is a scenario whose arrivals change: stages are [duration, arrivals a second at its end].
export function ramp(start, stages, more = {}) {
  const peak = Math.max(start, ...stages.map(([, rate]) => rate));
  return {
    executor: 'ramping-arrival-rate', startRate: start, timeUnit: '1s', gracefulStop: '20s', ...users(peak),
    stages: stages.map(([duration, target]) => ({ duration, target })), ...more,
  };
}

// random is a number from 0 to below 1. The n-th iteration of a scenario makes the same choices
// in every run with the same seed, whichever virtual user does it.
let state = 0;
export function random() {
  state = (state + 0x6d2b79f5) | 0; // mulberry32
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

// begin starts an iteration: its random choices, and a name that no other has, in no run.
const born = Date.now().toString(36);
export function begin() {
  const n = exec.scenario.iterationInTest;
  state = (seed * 1000003 + n * 7919) | 0;
  return `${born}-${exec.vu.idInTest}-${n}`;
}

export const pick = (list) => list[Math.floor(random() * list.length)];

// share picks by weight from [[weight, value], …].
export function share(list) {
  let r = random() * list.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of list) {
    r -= weight;
    if (r < 0) return value;
  }
  return list[list.length - 1][1];
}
