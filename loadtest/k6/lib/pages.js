// A citizen's browser without JavaScript: it answers what a page asks and goes on, until it has
// arrived. Every iteration has cookies of its own and so is another citizen.
import { check } from 'k6';
import { url } from './target.js';
import { send } from './http.js';

const most = 30; // pages; one that comes again and again is an error

const answers = {
  F60000228: 'Erika', F60000227: 'Beispiel', F60000231: '12', F60000232: '8', F60000233: '1984', day: '12', month: '8', year: '1984',
  F60000243: 'Fischmarkt', F60000244: '1', F60000246: '99084', F60000247: 'Erfurt', F60000240: '+49 361 1234567',
  name: 'Bello', breed: 'Dackel', chip: '276098100000001', dangerous: 'no', level: '3', acr: '3', declaration: 'true', consent: 'true',
  'birth.day': '1', 'birth.month': '3', 'birth.year': '2024', 'since.day': '1', 'since.month': '5', 'since.year': '2024',
};

// applyByPages logs in at the sandbox identity provider, fills in the dog tax form page by page
// and submits it. It returns whether the application's own page was reached.
export function applyByPages(place, name) {
  const own = { ...answers, F60000242: `${name}@example.org` };
  let page = open(`${url}/t/${place.slug}/forms/hundesteuer`);
  for (let n = 0; n < most && page.ok; n++) {
    if (/\/forms\/applications\/[^/]+$/.test(page.res.url)) return true;
    page = goOn(page.res, own);
  }
  return check(false, { 'form pages: submitted': (v) => v }, { op: 'form pages' });
}

const open = (address) => send(kind(address), 'GET', address);
const kind = (address) => (/\/forms\//.test(address) ? 'form pages' : 'log-in pages');

// goOn sends the form with the main button, or takes the link that is one.
function goOn(res, own) {
  const doc = res.html();
  const button = doc.find('main form button.kern-btn--primary').first();
  if (button.size() === 0) {
    const link = doc.find('main a.kern-btn--primary').first().attr('href');
    return link ? open(absolute(link, res.url)) : { ok: false };
  }
  const form = button.closest('form');
  const values = filled(form, own);
  if (button.attr('name')) values[button.attr('name')] = button.attr('value') || '';
  const action = absolute(form.attr('action') || res.url, res.url);
  return send(kind(action), 'POST', action, values);
}

// filled are the values of a form: what we know by the end of a field's name, else what stands
// there, else the first choice.
function filled(form, own) {
  const values = {};
  const answer = (name) => {
    const plain = name.replace(/[^A-Za-z0-9]+/g, '.').replace(/^\.|\.$/g, '');
    const ends = Object.keys(own).filter((end) => plain === end || plain.endsWith(`.${end}`));
    return ends.length === 0 ? undefined : own[ends.sort((a, b) => b.length - a.length)[0]];
  };
  const inputs = form.find('input, select, textarea');
  for (let i = 0; i < inputs.size(); i++) {
    const input = inputs.eq(i);
    const name = input.attr('name'), type = input.attr('type'), value = input.attr('value');
    if (!name || type === 'file') continue;
    const known = answer(name);
    if (type === 'radio' || type === 'checkbox') {
      if (values[name] === undefined || value === known) values[name] = value || 'on';
    } else if (input.is('select')) {
      values[name] = known || input.find('option[value!=""]').first().attr('value');
    } else {
      values[name] = type === 'hidden' ? value || '' : known || value || '';
    }
  }
  return values;
}

function absolute(link, base) {
  if (/^https?:/.test(link)) return link;
  const origin = /^https?:\/\/[^/]+/.exec(base)[0];
  if (link.startsWith('/')) return origin + link;
  return base.replace(/[?#].*$/, '').replace(/[^/]*$/, '') + link;
}
