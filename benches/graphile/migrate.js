// Makes Graphile Worker's schema.
"use strict";
const { runMigrations } = require("graphile-worker");

runMigrations({ connectionString: process.env.DATABASE_URL }).catch((error) => {
  console.error(error);
  process.exit(1);
});
