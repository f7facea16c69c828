//! `ash init`: from an empty machine to one that answers.

use std::io::Write as _;

use anyhow::Context as _;
use ash_core::Workspace;
use ash_llm::Offline;
use serde_json::{Value, json};

use super::Context;
use crate::app;
use crate::cli;
use crate::config::{self, Config, File};
use crate::home::Environment;
use crate::report::{Exit, Problem};
use crate::terminal;

/// The file that a new home gets, before the answers are put into it.
const NEW_FILE: &str = "\
# Settings of Ash. `ash config show` says where each value comes from, `ash config schema` what each
# may be. Keys are not kept here but in the environment.
";

/// The providers to choose from: name, what it is, the variable of its key.
const PROVIDERS: [(&str, &str, Option<&str>); 3] = [
    ("anthropic", "Anthropic", Some("ANTHROPIC_API_KEY")),
    ("openai", "OpenAI", Some("OPENAI_API_KEY")),
    (
        Offline::NAME,
        "none: the built-in offline model answers from what you told it",
        None,
    ),
];

/// The choice that stands for a server of one's own.
const OWN: &str = "own";

/// What the person decided.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    /// None leaves it to the keys that are there when a model is asked.
    provider: Option<String>,
    model: Option<String>,
    base_url: Option<String>,
    api_key_env: Option<String>,
}

/// Runs `ash init`.
pub(crate) fn run(context: &Context, arguments: &cli::Init) -> anyhow::Result<Exit> {
    let path = context.home.config();
    let old = File::read(&path)?;
    let asks = !arguments.yes && arguments.provider.is_none();
    if asks && !terminal::is_interactive() {
        return Err(Problem::fixable("nobody is here to answer questions")
            .hint("give --provider (and --model), or --yes to take what the environment suggests")
            .into());
    }
    let shown = context.home.shown(&path);
    if old.is_some() && !arguments.force {
        if !asks {
            return Err(Problem::fixable(format!("{shown} is there already"))
                .hint("--force changes the model in it; a copy of the old file is kept")
                .into());
        }
        let question = format!("{shown} is there already. Change the model in it?");
        if !cliclack::confirm(question)
            .initial_value(false)
            .interact()?
        {
            return Err(Problem::fixable("nothing was changed").into());
        }
    }
    let answers = if asks {
        ask(&context.environment)?
    } else {
        take(arguments, &context.environment)?
    };
    let text = write(old.as_ref(), &path, &answers)?;
    // What would not load is not written.
    let new = File::parse(&path, text.clone())?;
    let config = Config::assemble(&context.home, &context.environment, Some(new))?;

    context.home.create()?;
    if old.is_some() {
        let copy = path.with_extension("toml.old");
        std::fs::copy(&path, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
        say(&format!(
            "kept the old settings as {}",
            context.home.shown(&copy)
        ))?;
    }
    config::write_private(&path, &text)?;
    say(&format!("wrote {shown}"))?;
    let workspace = &config.settings.workspace;
    let written = Workspace::create(workspace)
        .with_context(|| format!("cannot write the workspace {}", workspace.display()))?;
    let workspace = context.home.shown(workspace);
    match written.as_slice() {
        [] => say(&format!("{workspace} was there already"))?,
        names => say(&format!("wrote {} to {workspace}", names.join(", ")))?,
    }
    drop(app::open_memory(&context.home, &config.settings)?);
    let database = context.home.shown(&config.settings.memory.database_path);
    say(&format!("the database {database} is ready"))?;
    for secret in config.secrets(&context.environment) {
        if secret.is_needed && !secret.is_set {
            say(&format!(
                "next, put the key into the environment, for instance in ~/.profile:\n  export {}=…",
                secret.variable
            ))?;
        }
    }
    if config.settings.default_llm.is_none() && suggested(&context.environment) == Offline::NAME {
        say(
            "no key is there: until ANTHROPIC_API_KEY or OPENAI_API_KEY is set in the environment, the \
             built-in offline model answers from what you told it",
        )?;
    }
    say("`ash doctor` checks everything (`--online` asks the model too), `ash chat` begins")?;
    Ok(Exit::Done)
}

/// Asks the person at the terminal.
fn ask(environment: &Environment) -> anyhow::Result<Answers> {
    cliclack::intro("Ash")?;
    let mut select = cliclack::select("Who answers?").initial_value(suggested(environment));
    for (name, what, variable) in PROVIDERS {
        let hint = match variable {
            Some(variable) if environment.get(variable).is_some() => "its key is there",
            Some(_) => "needs a key",
            None => "",
        };
        select = select.item(name, what, hint);
    }
    select = select.item(
        OWN,
        "a server of your own, or another one",
        "Ollama, llama.cpp, vLLM, …",
    );
    let mut answers = Answers::default();
    match select.interact()? {
        OWN => {
            let name: String = cliclack::input("A name for it")
                .default_input("local")
                .validate(|name: &String| {
                    if is_name(name) {
                        Ok(())
                    } else {
                        Err("letters, digits, - and _ please")
                    }
                })
                .interact()?;
            answers.provider = Some(name);
            answers.base_url = Some(
                cliclack::input("Its address (it speaks OpenAI's protocol)")
                    .default_input("http://localhost:11434/v1")
                    .interact()?,
            );
            answers.api_key_env = optional(
                &cliclack::input("The environment variable with its key, if it needs one")
                    .required(false)
                    .interact::<String>()?,
            );
            answers.model = Some(cliclack::input("The model").interact()?);
        }
        name => {
            answers.provider = Some(name.to_owned());
            if name != Offline::NAME {
                answers.model = optional(
                    &cliclack::input("The model (empty: the usual one)")
                        .required(false)
                        .interact::<String>()?,
                );
            }
        }
    }
    cliclack::outro("That is all. Telegram and the sandbox come with a later version.")?;
    Ok(answers)
}

/// Takes the flags, and what the environment suggests where they say nothing.
fn take(arguments: &cli::Init, environment: &Environment) -> anyhow::Result<Answers> {
    let provider =
        match &arguments.provider {
            Some(name) if is_name(name) => Some(name.clone()),
            Some(name) => {
                return Err(Problem::usage(format!("`{name}` cannot be the name of a provider"))
                .hint("take anthropic, openai, offline, or a name of letters, digits, - and _")
                .into());
            }
            None => Some(suggested(environment).to_owned()).filter(|name| name != Offline::NAME),
        };
    if let Some(name) = &provider
        && !is_built_in(name)
        && arguments.base_url.is_none()
    {
        return Err(Problem::usage(format!("`{name}` is no built-in provider"))
            .hint("give its address by --base-url, or take anthropic, openai or offline")
            .into());
    }
    Ok(Answers {
        provider,
        model: arguments.model.clone(),
        base_url: arguments.base_url.clone(),
        api_key_env: arguments.api_key_env.clone(),
    })
}

/// Puts the answers into the old file, or into a new one.
fn write(old: Option<&File>, path: &std::path::Path, answers: &Answers) -> anyhow::Result<String> {
    let mut text = match old {
        Some(old) => old.text().to_owned(),
        None => NEW_FILE.to_owned(),
    };
    let mut put = |keys: &[&str], value: Value| -> anyhow::Result<()> {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let file = File::parse(path, text.clone())?;
        text = match value {
            Value::Null => file.without(&keys)?,
            value => file.with(&keys, &value)?,
        };
        Ok(())
    };
    let Some(provider) = answers.provider.as_deref() else {
        return Ok(text);
    };
    put(&["default_llm", "provider"], json!(provider))?;
    // Another provider's model would not be found at this one.
    put(&["default_llm", "model"], json!(answers.model))?;
    if !is_built_in(provider) {
        put(&["providers", provider, "kind"], json!("openai"))?;
    }
    for (key, value) in [
        ("base_url", &answers.base_url),
        ("api_key_env", &answers.api_key_env),
    ] {
        if value.is_some() {
            put(&["providers", provider, key], json!(value))?;
        }
    }
    Ok(text)
}

fn suggested(environment: &Environment) -> &'static str {
    PROVIDERS
        .iter()
        .find(|(_, _, variable)| variable.is_none_or(|name| environment.get(name).is_some()))
        .map_or(Offline::NAME, |(name, _, _)| name)
}

fn is_built_in(name: &str) -> bool {
    PROVIDERS.iter().any(|(built_in, _, _)| *built_in == name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn optional(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(terminal::stdout(), "{text}")?)
}
