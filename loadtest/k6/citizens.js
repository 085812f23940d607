// Citizens alone: each logs in (OpenID Connect, sandbox identity provider), fills in a form page by
// page without JavaScript, and submits it.
//   RATE=5 DURATION=30s AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { applyByPages } from './lib/pages.js';

const rate = whole('RATE', 5);
const operations = ['log-in pages', 'form pages'];
export const options = { ...common, scenarios: { citizens: steady(rate, text('DURATION', '30s')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  applyByPages(pick(drawn), name);
}

export const handleSummary = report('citizens');
