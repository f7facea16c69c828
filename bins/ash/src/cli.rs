//! What can be typed after `ash`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

/// A personal assistant that you run for yourself.
#[derive(Debug, Parser)]
#[command(
    name = "ash",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Without a command Ash chats on a terminal, and prints this help otherwise.\n\
                  Exit codes: 0 done, 1 you can fix it, 2 wrong usage, 3 a fault of Ash or of a service."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    // Given as an attribute, because help is no Markdown.
    #[arg(help = "Directory of settings, workspace and memory [default: ASH_HOME, else ~/.ash]", long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) home: Option<PathBuf>,
    /// Log more: once what happens, twice in detail, three times everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How the log is written
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true
    )]
    pub(crate) log_format: LogFormat,
    /// Append the log to a file instead of writing it to standard error
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) log_file: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // Lines for people.
    Text,
    // One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set Ash up: model, settings, workspace
    Init(Init),
    /// Talk with Ash
    Chat(Chat),
    /// Show and change settings
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Look after the database
    #[command(subcommand, arg_required_else_help = true)]
    Db(DbCommand),
    /// Look through conversations
    #[command(subcommand, arg_required_else_help = true)]
    Sessions(SessionsCommand),
    /// Show tokens, cache hits and cost
    Usage(Usage),
    /// Check everything and say what to do
    Doctor(Doctor),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Init {
    /// Who provides the model: anthropic, openai or offline
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// The model's name at its provider
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Address of a server that speaks the provider's protocol
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) base_url: Option<String>,
    /// Environment variable that holds the key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Take the defaults for what is not given, and ask nothing
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Replace settings that exist
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Chat {
    /// What to say; piped input is added to it. Without either, the conversation is interactive
    #[arg(value_name = "TEXT", conflicts_with = "prompt")]
    pub(crate) text: Vec<String>,
    /// What to say, as a flag
    #[arg(short, long = "prompt", value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// The conversation to speak in
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) session: String,
    /// Begin a conversation of its own
    #[arg(long, conflicts_with = "session")]
    pub(crate) new: bool,
    /// The model to ask, for instance anthropic/claude-sonnet-4-6
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// What standard output gets; see docs/output.md
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            prompt: None,
            session: "main".to_owned(),
            new: false,
            model: None,
            output: Output::Text,
        }
    }
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    // The answer.
    #[default]
    Text,
    // One JSON object at the end.
    Json,
    // One JSON object for each event.
    StreamJson,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting and where it comes from
    Show(Json),
    /// Print the path of the settings file
    Path,
    /// Print one setting
    Get {
        /// For instance `default_llm.model`
        key: String,
        #[command(flatten)]
        json: Json,
    },
    /// Change one setting in the file, keeping its comments
    Set {
        /// For instance `default_llm.model`
        key: String,
        /// The new value
        value: String,
    },
    /// Check the settings
    Validate(Json),
    /// Print the JSON Schema of the settings
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the database up to date, after a backup
    Migrate(Json),
    /// Take the newest migration back, after a backup
    Rollback {
        /// Take so many back
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
        #[command(flatten)]
        yes: Yes,
        #[command(flatten)]
        json: Json,
    },
    /// Show the schema's version and what the database holds
    Status(Json),
    /// Make a backup; the newest seven are kept
    Backup(Json),
    /// Put a backup in the place of the database, of which a copy is kept
    Restore {
        /// The backup [default: the newest]
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        #[command(flatten)]
        yes: Yes,
        #[command(flatten)]
        json: Json,
    },
    /// Check that the database is whole
    Check(Json),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List conversations, the latest first
    List(Json),
    /// Show one conversation
    Show {
        /// The conversation's name or id
        session: String,
        /// Show the newest messages only
        #[arg(long, short = 'n', value_name = "COUNT")]
        limit: Option<usize>,
        /// Show what the model was told beside the words, and what tools were given and said
        #[arg(long)]
        trace: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Find messages
    Search {
        /// Words to look for
        #[arg(required = true)]
        query: Vec<String>,
        /// Show this many at most
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// Write all conversations to standard output, one JSON object a line
    Export,
    /// Read what `export` wrote; what is there already is left alone
    Import {
        /// The file, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Delete a conversation and everything said in it
    Delete {
        /// The conversation's name or id
        session: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Usage {
    /// Count the last days only
    #[arg(long, value_name = "COUNT")]
    pub(crate) days: Option<u32>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Ask each configured model for one word; this uses the network, and costs a few tokens
    #[arg(long)]
    pub(crate) online: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Json {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Yes {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
