// Applications alone: an EfA service reads a form and submits it, without a fee. What follows (delivery, mail to
// the applicant) happens on the server and is part of its CPU time.
//   RATE=30 DURATION=30s AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { apply } from './lib/operations.js';

const rate = whole('RATE', 30);
const operations = ['form read', 'application submit'];
export const options = { ...common, scenarios: { forms: steady(rate, text('DURATION', '30s')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  apply(pick(drawn), name, false);
}

export const handleSummary = report('forms');
