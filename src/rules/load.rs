//! Reads rule files and prompt files from disk: the only input of this room.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Loaded, compile};
use crate::model::problem::Problem;

/// Reads and compiles a rules file, or every `*.toml` of a folder in the order of their names. Prompt files and
/// includes are looked for in that folder only.
pub fn load(path: &Path) -> Loaded {
    let (folder, files) = match list(path) {
        Ok(found) => found,
        Err(why) => {
            let problem = Problem::error(path.display().to_string(), why);
            return Loaded { rules: None, problems: vec![problem] };
        }
    };
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    for file in files {
        let origin = file.display().to_string();
        match fs::read_to_string(&file) {
            Ok(text) => texts.push((origin, text)),
            Err(error) => problems.push(Problem::error(origin, format!("cannot be read: {error}"))),
        }
    }
    let mut loaded = compile(texts, &|name| read_inside(&folder, name));
    if !problems.is_empty() {
        loaded.rules = None;
        problems.append(&mut loaded.problems);
        loaded.problems = problems;
    }
    loaded
}

/// The texts that rules are made of, so that they can be compiled elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The rule files, as (name, text), in their order.
    pub files: Vec<(String, String)>,
    /// The prompt files and includes that they name, by name.
    pub beside: BTreeMap<String, String>,
}

/// Reads what [`load`] reads, and compiles nothing but to learn which files are named.
pub fn bundle(path: &Path) -> Result<Bundle, String> {
    let (folder, files) = list(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut texts = Vec::new();
    for file in files {
        let origin = file.display().to_string();
        let text = fs::read_to_string(&file).map_err(|error| format!("{origin} cannot be read: {error}"))?;
        texts.push((origin, text));
    }
    let beside = RefCell::new(BTreeMap::new());
    let noted = |name: &str| {
        let text = read_inside(&folder, name)?;
        beside.borrow_mut().insert(name.to_owned(), text.clone());
        Ok(text)
    };
    compile(texts.clone(), &noted);
    Ok(Bundle { files: texts, beside: beside.into_inner() })
}

fn list(path: &Path) -> Result<(PathBuf, Vec<PathBuf>), String> {
    if !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        return Ok((folder, vec![path.to_path_buf()]));
    }
    let entries = fs::read_dir(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|ending| ending == "toml") && file.is_file())
        .collect();
    if files.is_empty() {
        return Err("the folder holds no *.toml file".to_owned());
    }
    files.sort();
    Ok((path.to_path_buf(), files))
}

/// Reads a file inside `folder`. Links are followed (a mounted folder of Kubernetes consists of them), `..` is not.
fn read_inside(folder: &Path, name: &str) -> Result<String, String> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.is_empty() {
        return Err(format!("\"{name}\" is not a file of the rules' folder"));
    }
    fs::read_to_string(folder.join(name)).map_err(|error| format!("\"{name}\" cannot be read: {error}"))
}
