//! Design documents from the outside: fixtures with golden findings, whole sites, schemas, filters, hostile input.

mod chance;
mod compiled;
mod filters;
mod fuzz;
mod golden;
mod hostile;
mod rules;
mod schemas;
mod site;
