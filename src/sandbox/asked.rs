//! A call's path, query and body, read and checked as the service's framework does, with all problems at once.
//!
//! Words, types and leniency (a number in a string is a number, an unknown field is ignored, the last of doubled query
//! parameters counts) are those that `FastAPI` with pydantic 2 gives for the models of the OpenAPI document.

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::Answer;

/// A request whose path fits a call.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) path: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
}

/// Reads fields and gathers what is wrong with them; a wrong field reads as its default until [`Checks::done`].
pub(super) struct Checks<'a> {
    asked: &'a Asked,
    problems: Vec<Value>,
}

impl<'a> Checks<'a> {
    pub(super) fn of(asked: &'a Asked) -> Self {
        Self { asked, problems: Vec::new() }
    }

    /// 422 with every problem, if there is one.
    pub(super) fn done(self) -> Result<(), Answer> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Answer::detail(StatusCode::UNPROCESSABLE_ENTITY, self.problems))
    }

    fn wrong(&mut self, loc: Value, kind: &str, msg: impl Into<String>) {
        self.problems.push(Value::Object(Map::from_iter([
            ("type".to_owned(), kind.into()),
            ("loc".to_owned(), loc),
            ("msg".to_owned(), msg.into().into()),
        ])));
    }

    /// An integer of the path.
    pub(super) fn path_id(&mut self, name: &str) -> i64 {
        let text = find(&self.asked.path, name).unwrap_or_default();
        self.integer(json!(["path", name]), text).unwrap_or_default()
    }

    /// An optional integer of the query.
    pub(super) fn query_id(&mut self, name: &str) -> Option<i64> {
        let text = find(&self.asked.query, name)?;
        self.integer(json!(["query", name]), text)
    }

    /// A required integer of the query.
    pub(super) fn required_query_id(&mut self, name: &str) -> i64 {
        if find(&self.asked.query, name).is_none() {
            self.wrong(json!(["query", name]), "missing", "Field required");
        }
        self.query_id(name).unwrap_or_default()
    }

    /// The query's `skip` (from 0, 0 by default) and `limit` (1 to 100, 100 by default).
    pub(super) fn window(&mut self) -> (i64, i64) {
        (self.bounded("skip", 0, i64::MAX, 0), self.bounded("limit", 1, 100, 100))
    }

    fn bounded(&mut self, name: &str, least: i64, most: i64, default: i64) -> i64 {
        let Some(number) = self.query_id(name) else { return default };
        self.within(json!(["query", name]), number, least, most);
        number.clamp(least, most)
    }

    fn within(&mut self, loc: Value, number: i64, least: i64, most: i64) {
        if number < least {
            self.wrong(loc, "greater_than_equal", format!("Input should be greater than or equal to {least}"));
        } else if number > most {
            self.wrong(loc, "less_than_equal", format!("Input should be less than or equal to {most}"));
        }
    }

    /// An optional word of the query, one of `words`.
    pub(super) fn query_choice(&mut self, name: &str, words: &[&str]) -> Option<&'a str> {
        let text = find(&self.asked.query, name)?;
        if !words.contains(&text) {
            self.wrong(json!(["query", name]), "enum", expected(words));
        }
        Some(text)
    }

    /// A flag of the query, false by default.
    pub(super) fn query_flag(&mut self, name: &str) -> bool {
        let Some(text) = find(&self.asked.query, name) else { return false };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => true,
            "0" | "false" | "f" | "no" | "n" | "off" => false,
            _ => {
                let msg = "Input should be a valid boolean, unable to interpret input";
                self.wrong(json!(["query", name]), "bool_parsing", msg);
                false
            }
        }
    }

    /// The body's object; empty when there is none, which is a problem by itself. A body that is no JSON is the only
    /// problem that is told.
    pub(super) fn body(&mut self) -> Map<String, Value> {
        if self.asked.body.is_empty() {
            self.wrong(json!(["body"]), "missing", "Field required");
            return Map::new();
        }
        let value = if is_json(self.asked.content_type.as_deref()) {
            match serde_json::from_slice(&self.asked.body) {
                Ok(value) => value,
                Err(error) => {
                    self.problems.clear();
                    self.wrong(json!(["body", error.column()]), "json_invalid", "JSON decode error");
                    return Map::new();
                }
            }
        } else {
            Value::Null
        };
        if let Value::Object(fields) = value {
            return fields;
        }
        let msg = "Input should be a valid dictionary or object to extract fields from";
        self.wrong(json!(["body"]), "model_attributes_type", msg);
        Map::new()
    }

    /// Whether the body is an object; the fields of another body are not looked at.
    pub(super) fn has_fields(&self) -> bool {
        self.problems.iter().all(|problem| problem["loc"][0] != "body")
    }

    /// A required text of the body.
    pub(super) fn text(&mut self, fields: &mut Map<String, Value>, name: &str) -> String {
        match fields.remove(name) {
            Some(Value::String(text)) => return text,
            Some(_) => self.wrong(json!(["body", name]), "string_type", "Input should be a valid string"),
            None => self.wrong(json!(["body", name]), "missing", "Field required"),
        }
        String::new()
    }

    /// A required integer of the body.
    pub(super) fn id(&mut self, fields: &Map<String, Value>, name: &str) -> i64 {
        let Some(value) = fields.get(name) else {
            self.wrong(json!(["body", name]), "missing", "Field required");
            return 0;
        };
        self.integer_value(name, value).unwrap_or_default()
    }

    /// An optional integer of the body.
    pub(super) fn optional_id(&mut self, fields: &Map<String, Value>, name: &str) -> Option<i64> {
        let value = fields.get(name).filter(|value| !value.is_null())?;
        self.integer_value(name, value)
    }

    /// An optional object of the body.
    pub(super) fn optional_object(
        &mut self,
        fields: &mut Map<String, Value>,
        name: &str,
    ) -> Option<Map<String, Value>> {
        match fields.remove(name) {
            Some(Value::Object(object)) => return Some(object),
            None | Some(Value::Null) => {}
            Some(_) => self.wrong(json!(["body", name]), "dict_type", "Input should be a valid dictionary"),
        }
        None
    }

    /// Checks an optional text of the body.
    pub(super) fn optional_text(&mut self, fields: &Map<String, Value>, name: &str) {
        if !matches!(fields.get(name), None | Some(Value::Null | Value::String(_))) {
            self.wrong(json!(["body", name]), "string_type", "Input should be a valid string");
        }
    }

    /// Checks an optional word of the body, one of `words`.
    pub(super) fn optional_choice(&mut self, fields: &Map<String, Value>, name: &str, words: &[&str]) {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(word)) if words.contains(&word.as_str()) => {}
            Some(_) => self.wrong(json!(["body", name]), "literal_error", expected(words)),
        }
    }

    /// Checks a required word of the body, one of `words`; that it is there at all is for [`Self::text`].
    pub(super) fn required_choice(&mut self, fields: &Map<String, Value>, name: &str, words: &[&str]) {
        if fields.get(name).is_some_and(Value::is_string) {
            self.optional_choice(fields, name, words);
        }
    }

    /// Checks an optional integer of the body with bounds.
    pub(super) fn optional_number(&mut self, fields: &Map<String, Value>, name: &str, least: i64, most: i64) {
        if let Some(number) = self.optional_id(fields, name) {
            self.within(json!(["body", name]), number, least, most);
        }
    }

    /// Checks an optional object of the body whose values are all of one type.
    pub(super) fn optional_map(
        &mut self,
        fields: &Map<String, Value>,
        name: &str,
        fits: fn(&Value) -> bool,
        kind: &str,
        word: &str,
    ) {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (key, _) in entries.iter().filter(|(_, value)| !fits(value)) {
                    self.wrong(json!(["body", name, key]), kind, format!("Input should be a valid {word}"));
                }
            }
            Some(_) => self.wrong(json!(["body", name]), "dict_type", "Input should be a valid dictionary"),
        }
    }

    /// Checks an optional list of texts of the body.
    pub(super) fn optional_texts(&mut self, fields: &Map<String, Value>, name: &str) {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, _) in items.iter().enumerate().filter(|(_, item)| !item.is_string()) {
                    self.wrong(json!(["body", name, index]), "string_type", "Input should be a valid string");
                }
            }
            Some(_) => self.wrong(json!(["body", name]), "list_type", "Input should be a valid list"),
        }
    }

    fn integer(&mut self, loc: Value, text: &str) -> Option<i64> {
        let number = text.trim().parse().ok();
        if number.is_none() {
            let msg = "Input should be a valid integer, unable to parse string as an integer";
            self.wrong(loc, "int_parsing", msg);
        }
        number
    }

    fn integer_value(&mut self, name: &str, value: &Value) -> Option<i64> {
        let loc = json!(["body", name]);
        match value {
            Value::String(text) => return self.integer(loc, text),
            Value::Bool(flag) => return Some(i64::from(*flag)),
            Value::Number(number) => {
                if let Some(number) = number.as_i64() {
                    return Some(number);
                }
                let float = number.as_f64().unwrap_or(f64::INFINITY);
                if float.fract() != 0.0 {
                    let msg = "Input should be a valid integer, got a number with a fractional part";
                    self.wrong(loc, "int_from_float", msg);
                } else if float.abs() < 9.0e18 {
                    return Some(float as i64);
                } else {
                    let msg = "Unable to parse input string as an integer, exceeded maximum size";
                    self.wrong(loc, "int_parsing_size", msg);
                }
            }
            _ => self.wrong(loc, "int_type", "Input should be a valid integer"),
        }
        None
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn is_json(content_type: Option<&str>) -> bool {
    let kind = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// "Input should be 'A', 'B' or 'C'".
fn expected(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("Input should be {} or {last}", others.join(", ")),
        _ => format!("Input should be {}", quoted.concat()),
    }
}
