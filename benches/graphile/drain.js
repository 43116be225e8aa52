// Drains COUNT jobs with Graphile Worker in the configuration of its own performance page, and prints when the first
// began and what CPU time the process took from then on.
"use strict";
const { run } = require("graphile-worker");

const count = Number(process.env.COUNT);
let done = 0;
let began;
let cpu;

const task = () => {
  if (done === 0) {
    began = Date.now();
    cpu = process.cpuUsage();
  }
  done += 1;
  if (done === count) {
    console.log(JSON.stringify({ executed: done, began_ms: began }));
  }
};

async function main() {
  const runner = await run({
    preset: {
      worker: {
        connectionString: process.env.DATABASE_URL,
        concurrentJobs: 24,
        maxPoolSize: 25,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    taskList: { noop: task },
    noHandleSignals: true,
    // a line a job would be measured otherwise
    logger: new (require("@graphile/logger").Logger)(() => () => {}),
  });
  // the other side closes standard input when the table is empty
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({ cpu_us: used.user + used.system, rss_kib: process.resourceUsage().maxRSS }));
  await runner.stop();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
