#!/usr/bin/env bash
# Schedules that a CronJob may have, read by five libraries: two forms give different days or times, and no library says so.
# npm cron-parser 5.10.5, croner 11.0.1, cron 4.4.0, cron-schedule 6.0.0; croniter 1.3.5 (Debian 12).
#
# 1. "0 0 1-31 * 1". crontab(5): when both day of month and day of week are restricted, that is do not contain a star, either may match. So this
#    is every day, and a CronJob (whose library follows that rule) runs every day. cron, cron-schedule and croniter take a range over the whole
#    month for a star and run on Mondays only.
# 2. "5/15 * * * *". For CronJobs N/step is N-MAX/step (robfig/cron, package documentation, Slash; crontab(5) has steps only after ranges and
#    stars). cron-schedule takes the 5 and drops the step: once an hour instead of four times. croner refuses it, as it documents.
. "$(dirname "$0")/common.sh"
debian python3-croniter=1.3.5-3 python3-dateutil=2.8.2-2 python3-six=1.16.0-4 python3-tz=2022.7.1-4
npm_packages cron-parser@5.10.5 croner@11.0.1 cron@4.4.0 cron-schedule@6.0.0
export TZ=UTC
cat >next.js <<'J'
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import { CronTime } from 'cron';
import { parseCronExpression } from 'cron-schedule';

const from = new Date('2026-01-01T00:30:00Z');
const expression = process.argv[2];
const libraries = {
  'cron-parser': () => CronExpressionParser.parse(expression, { currentDate: from, tz: 'UTC' }).take(3).map((d) => d.toDate()),
  croner: () => new Cron(expression, { timezone: 'UTC' }).nextRuns(3, from),
  cron: () => {
    const dates = [];
    for (let at = from; dates.length < 3; dates.push(at)) at = new CronTime(expression, 'UTC').getNextDateFrom(at, 'UTC').toJSDate();
    return dates;
  },
  'cron-schedule': () => parseCronExpression(expression).getNextDates(3, from),
};
for (const [name, next] of Object.entries(libraries)) {
  let text;
  try {
    text = next().map((date) => date.toISOString().slice(5, 16)).join(' ');
  } catch (error) {
    text = 'refused';
  }
  console.log(`  ${name}: ${text}`);
}
J
cat >next.py <<'P'
import datetime, sys
from croniter import croniter
at = croniter(sys.argv[1], datetime.datetime(2026, 1, 1, 0, 30))
print("  croniter:", *(at.get_next(datetime.datetime).isoformat()[5:16] for _ in range(3)))
P
for expression in "0 0 1-31 * 1" "0 0 1-30 * 1" "5/15 * * * *" "5-59/15 * * * *"; do
  echo "$expression"
  node next.js "$expression"
  PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 next.py "$expression"
done >seen
described <<'D'
0 0 1-31 * 1
  cron-parser: 01-02T00:00 01-03T00:00 01-04T00:00
  croner: 01-02T00:00 01-03T00:00 01-04T00:00
  cron: 01-05T00:00 01-12T00:00 01-19T00:00
  cron-schedule: 01-05T00:00 01-12T00:00 01-19T00:00
  croniter: 01-05T00:00 01-12T00:00 01-19T00:00
0 0 1-30 * 1
  cron-parser: 01-02T00:00 01-03T00:00 01-04T00:00
  croner: 01-02T00:00 01-03T00:00 01-04T00:00
  cron: 01-02T00:00 01-03T00:00 01-04T00:00
  cron-schedule: 01-02T00:00 01-03T00:00 01-04T00:00
  croniter: 01-02T00:00 01-03T00:00 01-04T00:00
5/15 * * * *
  cron-parser: 01-01T00:35 01-01T00:50 01-01T01:05
  croner: refused
  cron: 01-01T00:35 01-01T00:50 01-01T01:05
  cron-schedule: 01-01T01:05 01-01T02:05 01-01T03:05
  croniter: 01-01T00:35 01-01T00:50 01-01T01:05
5-59/15 * * * *
  cron-parser: 01-01T00:35 01-01T00:50 01-01T01:05
  croner: 01-01T00:35 01-01T00:50 01-01T01:05
  cron: 01-01T00:35 01-01T00:50 01-01T01:05
  cron-schedule: 01-01T00:35 01-01T00:50 01-01T01:05
  croniter: 01-01T00:35 01-01T00:50 01-01T01:05
D
