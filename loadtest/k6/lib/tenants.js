// Which municipality a request is for: drawn by its inhabitants.
//
//   AREA   beginning of the ARS: 16 is Thüringen, 16051 Erfurt, "all" is Germany. They must be
//          tenants of the installation, and the client of demo.json be switched on for them.
//          Without it: the tenants of demo.json.
import http from 'k6/http';
import { SharedArray } from 'k6/data';
import { demo, random, text, url } from './target.js';

const population = new SharedArray('population', () =>
  open('../data/population.csv').trim().split('\n').slice(1).map((line) => {
    const [ars, inhabitants] = line.split(',');
    return { ars, inhabitants: Number(inhabitants) };
  }));

const draws = 1000;

// places is for setup(): a thousand draws by population, with repetitions, as {slug, ars}. An
// iteration picks from them, each alike, and so draws by population.
export function places() {
  const area = text('AREA', '');
  const slugs = {};
  for (const t of demo.tenants) for (const key of t.keys) slugs[key] = t.slug;
  const known = population.filter((p) => (area === '' ? slugs[p.ars] : area === 'all' || p.ars.startsWith(area)));
  if (known.length === 0) throw new Error(`no municipality of data/population.csv has an ARS that begins with ${area || 'one of demo.json'}`);
  const upTo = [];
  let sum = 0;
  for (const p of known) upTo.push((sum += p.inhabitants));
  const drawn = [];
  for (let i = 0; i < draws; i++) {
    const r = random() * sum;
    let low = 0, high = upTo.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle] > r) high = middle;
      else low = middle + 1;
    }
    drawn.push(known[low].ars);
  }
  if (area !== '') resolve([...new Set(drawn)], slugs);
  return drawn.map((ars) => ({ slug: slugs[ars], ars }));
}

// resolve asks the installation which tenant has which key.
function resolve(keys, slugs) {
  const together = 20;
  for (let i = 0; i < keys.length; i += together) {
    const some = keys.slice(i, i + together);
    const answers = http.batch(some.map((key) => ['GET', `${url}/tenants/v1/resolve?key=${key}`, null, { tags: { op: 'resolve', name: 'GET /tenants/v1/resolve' } }]));
    answers.forEach((answer, n) => {
      if (answer.status !== 200) throw new Error(`${some[n]} is no tenant here (${answer.status}): import the municipalities of AREA first, see loadtest/README.md`);
      slugs[some[n]] = answer.json('slug');
    });
  }
}
