mod allocations;
mod handlers;
mod request;
mod rows;
mod runner;
fn main() {}
