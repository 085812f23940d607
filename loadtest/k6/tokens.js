// Access tokens alone: what a program does that does not keep its token (client credentials, ES256).
//   RATE=100 DURATION=30s
import { begin, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { takeToken } from './lib/operations.js';

const rate = whole('RATE', 100);
export const options = { ...common, scenarios: { tokens: steady(rate, text('DURATION', '30s')) }, thresholds: within(['token'], rate) };

export default function () {
  begin();
  takeToken();
}

export const handleSummary = report('tokens');
