//! Ash, on the command line: parses, configures, composes, exits.

mod app;
mod cli;
mod commands;
mod config;
mod home;
mod logs;
mod models;
mod report;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => report::report(&error).into(),
    }
}
