//! "Did you mean": the known word that a mistyped one most likely stands for.

/// A word may differ by one edit for every so many of its characters, and by one in any case.
const CHARACTERS_PER_EDIT: usize = 3;

/// The candidate that `word` most likely stands for, if any is near enough: a few typing mistakes
/// away, or the same word with a part left out (`queue` for `max_queue`).
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = normalized(word);
    let edits_max = (word.chars().count() / CHARACTERS_PER_EDIT).max(1);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &normalized(candidate));
    let by_typing = candidates
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        // Every edit of a short word makes another word: half of it must be right.
        .filter(|(edits, candidate)| *edits <= edits_max && edits * 2 <= candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate);
    by_typing.or_else(|| {
        candidates
            .iter()
            .copied()
            .find(|candidate| is_part_of(&word, candidate))
    })
}

/// The help for an unknown word: the nearest candidate, else the list of all. `what` names them
/// in the plural.
pub fn did_you_mean(word: &str, candidates: &[&str], what: &str) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => format!("there are no {what} to choose from"),
        None => format!("known {what}: {}", quoted(candidates)),
    }
}

/// The words in backquotes, with commas between.
pub(super) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn normalized(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

fn is_part_of(word: &str, candidate: &str) -> bool {
    let whole = |long: &str, short: &str| long.split('_').any(|part| part == short);
    whole(candidate, word) || whole(word, candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["path", "pool", "deadline", "max_queue", "max_body"];

    #[test]
    fn typing_mistakes_lead_to_the_word_that_was_meant() {
        for (word, meant) in [
            ("deadlin", "deadline"),
            ("daedline", "deadline"),
            ("Deadline", "deadline"),
            ("max-queue", "max_queue"),
            ("pol", "pool"),
            ("queue", "max_queue"),
        ] {
            assert_eq!(nearest(word, KEYS), Some(meant), "{word}");
        }
    }

    #[test]
    fn a_word_of_its_own_leads_nowhere() {
        for word in ["timeout", "db", "x", ""] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
        assert_eq!(
            did_you_mean("timeout", KEYS, "keys"),
            "known keys: `path`, `pool`, `deadline`, `max_queue`, `max_body`"
        );
        assert_eq!(
            did_you_mean("x", &[], "pools"),
            "there are no pools to choose from"
        );
    }
}
