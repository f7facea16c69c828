//! One file a command.

mod chat;
mod completions;
mod config;
mod db;
mod doctor;
mod init;
mod sessions;
mod usage;

use std::io::Write as _;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{Chat, Cli, Command};
use crate::home::{Environment, Home};
use crate::report::Exit;
use crate::{logs, terminal};

/// What every command starts from.
pub(crate) struct Context {
    /// Where everything is kept.
    pub(crate) home: Home,
    /// The environment as it was at the start.
    pub(crate) environment: Environment,
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let chats = cli.command.is_none() && terminal::is_interactive() && terminal::is_shown();
    let Some(command) = cli
        .command
        .or_else(|| chats.then(|| Command::Chat(Chat::default())))
    else {
        let help = Cli::command().render_help();
        write!(terminal::stdout(), "{}", help.ansi())?;
        return Ok(Exit::Done);
    };
    // What nobody else may read is made so from its first byte, by whoever makes it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    logs::start(&cli.global)?;
    let environment = Environment::of_process();
    let home = Home::find(cli.global.home.as_deref(), &environment)?;
    let context = Context { home, environment };
    match command {
        Command::Config(command) => config::run(&context, command),
        Command::Chat(arguments) => chat::run(context, &arguments),
        Command::Sessions(command) => sessions::run(&context, command),
        Command::Usage(arguments) => usage::run(&context, &arguments),
        Command::Db(command) => db::run(&context, command),
        Command::Init(arguments) => init::run(&context, &arguments),
        Command::Doctor(arguments) => doctor::run(&context, &arguments),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// Waits for something on this thread; everything that takes long has threads of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(work)
}

/// Prints one JSON document.
pub(crate) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    Ok(writeln!(terminal::stdout(), "{value:#}")?)
}
