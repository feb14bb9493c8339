//! What is wrong with a text, where, and what to do; and how it is shown.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The text cannot be used.
    Error,
    /// The text can be used, and probably says something other than what was meant.
    Warning,
}

/// One finding about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, without a full stop.
    pub message: String,
    /// The bytes of the text it is about; `None` when it is about the text as a whole.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place in the text that belongs to it, and what that place is.
    pub related: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    /// An error about the text as a whole.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity: Severity::Error,
            message,
            span: None,
            help: None,
            related: None,
        }
    }

    /// A warning about the text as a whole.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Points at these bytes.
    #[must_use]
    pub fn at(self, span: Range<usize>) -> Self {
        Self {
            span: Some(span),
            ..self
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// Shows another place too.
    #[must_use]
    pub fn related(self, span: Range<usize>, label: impl Into<String>) -> Self {
        Self {
            related: Some((span, label.into())),
            ..self
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Shows findings one after the other: message, file:line:column, the line with a caret, help.
/// `color` adds terminal escape codes. Control characters of the text do not get through.
pub fn render(diagnostics: &[Diagnostic], source: &str, file_name: &str, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&render_one(&renderer, diagnostic, source, file_name));
        text.push('\n');
    }
    text
}

fn render_one(
    renderer: &Renderer,
    diagnostic: &Diagnostic,
    source: &str,
    file_name: &str,
) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    let mut group = match &diagnostic.span {
        None => group.element(Origin::path(file_name)),
        Some(span) => {
            let mut snippet = Snippet::source(source)
                .path(file_name)
                .annotation(AnnotationKind::Primary.span(inside(span, source)));
            if let Some((span, label)) = &diagnostic.related {
                let context = AnnotationKind::Context.span(inside(span, source));
                snippet = snippet.annotation(context.label(label.as_str()));
            }
            group.element(snippet)
        }
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
    }
    renderer.render(&[group])
}

/// The span, cut to whole characters of the source: a wrong span must not cost the message.
fn inside(span: &Range<usize>, source: &str) -> Range<usize> {
    let floor = |index: usize| {
        let index = index.min(source.len());
        (0..=index)
            .rev()
            .find(|&index| source.is_char_boundary(index))
            .unwrap_or(0)
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

/// Everything that is wrong with a text of settings.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsErrors {
    diagnostics: Vec<Diagnostic>,
    source: String,
    file_name: String,
}

impl SettingsErrors {
    /// Keeps the source beside the findings, so that they can be shown later.
    pub fn new(diagnostics: Vec<Diagnostic>, source: &str, file_name: &str) -> Self {
        Self {
            diagnostics,
            source: source.to_owned(),
            file_name: file_name.to_owned(),
        }
    }

    /// The findings, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The name of the file, as it was given.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Shows all findings; see [`render`].
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.source, &self.file_name, color)
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl fmt::Debug for SettingsErrors {
    /// Leaves the source out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsErrors")
            .field("file_name", &self.file_name)
            .field("diagnostics", &self.diagnostics)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for SettingsErrors {}
