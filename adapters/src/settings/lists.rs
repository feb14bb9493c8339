//! Lists of lists.

use toml::Spanned;
use toml::de::DeValue;

use super::Settings;

impl Settings<'_> {
    /// An array of arrays of texts, such as `[["GET", "a"], ["GET", "b"]]`. Each item that is something
    /// else is an error of its own.
    pub fn lists(&mut self, key: &'static str) -> Option<Vec<Vec<String>>> {
        const EXPECTED: &str = "an array of arrays of texts";
        let value = self.value(key)?;
        let DeValue::Array(lists) = value.get_ref() else {
            self.wrong_type(key, value, EXPECTED);
            return None;
        };
        let mut wrong = 0;
        let mut reject = |item: &Spanned<DeValue<'_>>| {
            wrong += 1;
            self.wrong_type(key, item, EXPECTED);
        };
        let mut read = Vec::with_capacity(lists.len());
        for list in lists.iter() {
            let DeValue::Array(items) = list.get_ref() else {
                reject(list);
                continue;
            };
            let mut texts = Vec::with_capacity(items.len());
            for item in items.iter() {
                match item.get_ref().as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => reject(item),
                }
            }
            read.push(texts);
        }
        (wrong == 0).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{KeySpec, Settings};

    const KEYS: &[KeySpec] = &[KeySpec::optional("lists", "array of arrays", "some lists")];

    fn read(text: &str) -> Result<Vec<Vec<String>>, String> {
        Settings::parse(text, KEYS, |settings| settings.lists("lists"))
            .map_err(|errors| errors.render(false))
    }

    #[test]
    fn lists_of_texts_are_read_in_their_order() {
        let lists = read("lists = [['a', 'b'], [], ['c']]").unwrap();
        assert_eq!(lists, [vec!["a", "b"], vec![], vec!["c"]]);
        assert!(read("lists = []").unwrap().is_empty());
    }

    #[test]
    fn each_item_that_is_no_list_and_no_text_is_an_error() {
        let errors = read("lists = ['a', ['b', 1, true], ['c']]").unwrap_err();
        for found in ["not text", "not an integer", "not a boolean"] {
            let message = format!("must be an array of arrays of texts, {found}");
            assert_eq!(errors.matches(&message).count(), 1, "{errors}");
        }
        assert!(read("lists = 'a'").unwrap_err().contains("not text"));
    }
}
