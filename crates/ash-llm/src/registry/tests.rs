use insta::assert_snapshot;

use super::*;

fn registry(variables: &[(&str, &str)], providers: &[(&str, ProviderSettings)]) -> Registry {
    let settings = providers
        .iter()
        .map(|(name, settings)| ((*name).to_owned(), settings.clone()))
        .collect();
    let environment = |wanted: &str| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    Registry::new(&settings, &environment).unwrap()
}

fn server(kind: ProviderKind, base_url: &str, api_key_env: Option<&str>) -> ProviderSettings {
    ProviderSettings {
        base_url: Some(base_url.to_owned()),
        api_key_env: api_key_env.map(str::to_owned),
        ..ProviderSettings::new(kind)
    }
}

fn chosen(registry: &Registry, provider: Option<&str>, model: Option<&str>) -> String {
    let settings = ModelSettings {
        provider: provider.map(str::to_owned),
        model: model.map(str::to_owned),
        ..ModelSettings::default()
    };
    shown(registry.choose(Some(&settings)))
}

fn shown(model: Result<Model, LlmError>) -> String {
    match model {
        Ok(model) => model.id(),
        Err(error) => format!("{:?}: {error}", error.kind),
    }
}

const BOTH: &[(&str, &str)] = &[("ANTHROPIC_API_KEY", "sk-a"), ("OPENAI_API_KEY", "sk-o")];

#[test]
fn with_nothing_set_the_keys_decide() {
    for (variables, expected) in [
        (BOTH, "anthropic/claude-sonnet-4-6"),
        (&BOTH[1..], "openai/gpt-6.1-terra"),
        (&[("ANTHROPIC_API_KEY", " ")], "offline/offline"),
        (&[], "offline/offline"),
    ] {
        let registry = registry(variables, &[]);
        assert_eq!(shown(registry.choose(None)), expected);
        assert_eq!(
            shown(registry.choose(Some(&ModelSettings::default()))),
            expected
        );
    }
}

#[test]
fn what_is_set_is_chosen() {
    let local = server(ProviderKind::Openai, "http://localhost:11434/v1", None);
    let registry = registry(BOTH, &[("local", local)]);
    for (provider, model, expected) in [
        (Some("openai"), Some("gpt-4o"), "openai/gpt-4o"),
        (Some("openai"), None, "openai/gpt-6.1-terra"),
        (Some("offline"), None, "offline/offline"),
        (Some("offline"), Some("other"), "offline/other"),
        (Some("local"), Some("qwen/qwen3:8b"), "local/qwen/qwen3:8b"),
        (None, Some("local/qwen3"), "local/qwen3"),
        (None, Some("gpt-4o"), "openai/gpt-4o"),
        (None, Some("o3"), "openai/o3"),
        (None, Some("claude-opus-5-5"), "anthropic/claude-opus-5-5"),
        (None, Some("offline"), "offline/offline"),
    ] {
        assert_eq!(chosen(&registry, provider, model), expected);
    }
    assert_eq!(
        registry.model("local/qwen/qwen3:8b").unwrap().name,
        "qwen/qwen3:8b"
    );
}

#[test]
fn what_cannot_be_chosen_is_explained() {
    let local = server(ProviderKind::Openai, "http://localhost:11434/v1", None);
    let paid = server(
        ProviderKind::Anthropic,
        "https://paid.example",
        Some("PAID_KEY"),
    );
    let registry = registry(&[], &[("local", local), ("paid", paid)]);
    let explanations = [
        chosen(&registry, Some("anthropic"), None),
        chosen(&registry, Some("openai"), Some("gpt-4o")),
        chosen(&registry, Some("paid"), Some("claude-opus-5-5")),
        chosen(&registry, Some("local"), None),
        chosen(&registry, Some("opneai"), Some("gpt-4o")),
        chosen(&registry, Some("mistral"), Some("large")),
        chosen(&registry, None, Some("llama3")),
        shown(registry.model("gpt-4o")),
        shown(registry.model("local")),
        shown(registry.model("local/")),
        shown(registry.model("llama3")),
        shown(registry.model("Local/llama3")),
        shown(registry.model("")),
    ];
    assert_snapshot!(explanations.join("\n"), @r#"
    Auth: anthropic: no API key: set the environment variable ANTHROPIC_API_KEY
    Auth: openai: no API key: set the environment variable OPENAI_API_KEY
    Auth: paid: no API key: set the environment variable PAID_KEY
    Config: local: set `model` beside `provider = "local"`
    Config: settings: there is no provider `opneai`: did you mean `openai`? the providers are anthropic, local, offline, openai, paid
    Config: settings: there is no provider `mistral`: the providers are anthropic, local, offline, openai, paid
    Config: settings: set `provider` beside `model = "llama3"`: the providers are anthropic, local, offline, openai, paid
    Config: settings: `gpt-4o` names no provider: did you mean openai/gpt-4o?
    Config: settings: `local` names no provider: a model follows: local/MODEL
    Config: local: `local/` names no model: it looks like local/MODEL
    Config: settings: `llama3` names no provider: it looks like PROVIDER/MODEL, and the providers are anthropic, local, offline, openai, paid
    Config: settings: there is no provider `Local`: did you mean `local`? the providers are anthropic, local, offline, openai, paid
    Config: settings: `` names no provider: it looks like PROVIDER/MODEL, and the providers are anthropic, local, offline, openai, paid
    "#);
}

#[test]
fn names_that_cannot_be_used_are_refused() {
    let refused: Vec<String> = ["offline", "a/b", "a b", ""]
        .map(|name| {
            let settings =
                BTreeMap::from([(name.to_owned(), ProviderSettings::new(ProviderKind::Openai))]);
            Registry::new(&settings, &|_| None)
                .err()
                .map_or_else(String::new, |error| error.to_string())
        })
        .into();
    assert_snapshot!(refused.join("\n"), @r#"
    settings: `[providers.offline]` cannot be set: the offline model is built in
    settings: `[providers."a/b"]`: a name has no slash and no space
    settings: `[providers."a b"]`: a name has no slash and no space
    settings: `[providers.""]`: a name has no slash and no space
    "#);
}

#[test]
fn a_built_in_provider_may_be_changed_and_keeps_its_key() {
    let elsewhere = server(ProviderKind::Openai, "http://localhost:1", None);
    let registry = registry(&BOTH[1..], &[("openai", elsewhere)]);
    assert!(registry.is_ready("openai"));
    assert_eq!(
        chosen(&registry, Some("openai"), Some("gpt-4o")),
        "openai/gpt-4o"
    );
    let Source::Server { settings, .. } = &registry.providers["openai"].source else {
        panic!()
    };
    assert_eq!(settings.base_url.as_deref(), Some("http://localhost:1"));
}

#[test]
fn an_address_in_the_environment_stands_above_the_file() {
    let elsewhere = server(ProviderKind::Openai, "http://localhost:1", None);
    let registry = registry(
        &[("OPENAI_BASE_URL", "http://localhost:2")],
        &[("openai", elsewhere)],
    );
    let Source::Server { settings, .. } = &registry.providers["openai"].source else {
        panic!()
    };
    assert_eq!(settings.base_url.as_deref(), Some("http://localhost:2"));
    assert!(!registry.is_ready("openai"));
    assert!(!registry.is_ready("nobody"));
}

#[test]
fn a_provider_is_made_once() {
    let registry = registry(BOTH, &[]);
    let first = registry.model("openai/a").unwrap();
    let second = registry.model("openai/b").unwrap();
    assert!(Arc::ptr_eq(&first.provider, &second.provider));
    assert_eq!(
        registry.names().collect::<Vec<_>>(),
        ["anthropic", "offline", "openai"]
    );
}

#[tokio::test]
async fn vectors_come_from_providers_that_speak_as_openai_does() {
    let local = server(ProviderKind::Openai, "http://localhost:1", None);
    let registry = registry(BOTH, &[("local", local)]);
    let known = registry
        .embeddings("text-embedding-3-small", None)
        .await
        .unwrap();
    assert_eq!(
        (known.model_id(), known.dimensions()),
        ("openai/text-embedding-3-small", 1536)
    );
    let given = registry
        .embeddings("local/nomic/embed", Some(768))
        .await
        .unwrap();
    assert_eq!(
        (given.model_id(), given.dimensions()),
        ("local/nomic/embed", 768)
    );
    for id in ["anthropic/claude", "offline/offline"] {
        assert_eq!(
            registry.embeddings(id, None).await.err().unwrap().kind,
            ErrorKind::Config
        );
    }
}
