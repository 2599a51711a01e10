//! Reads rule files and prompt files from disk: the only input of this room.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Loaded, compile};
use crate::model::policy::Terms;
use crate::model::problem::{Problem, nearest};

/// How much is read at most, all files together: far more than ten thousand rules need.
const MOST_BYTES: u64 = 64 << 20;

/// Reads and compiles a rules file, or every `*.toml` of a folder in the order of their names. Prompt files and
/// includes are looked for in that folder only.
pub fn load(path: &Path, terms: &Terms) -> Loaded {
    load_marked(path, terms).0
}

/// The same, with a mark of all that was read.
pub(super) fn load_marked(path: &Path, terms: &Terms) -> (Loaded, Mark) {
    let disk = Disk::read(path);
    let loaded = disk.compile(path, terms);
    (loaded, disk.mark())
}

/// What files said when they were read: rule files, and the prompt files and includes that were asked for by name.
#[derive(Debug)]
pub(super) struct Mark {
    files: [u8; 32],
    asked: BTreeMap<String, [u8; 32]>,
}

impl Mark {
    /// Whether all of them say the same now. Contents are compared: a mounted folder changes by moving a link, and a
    /// mounted file in place.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let disk = Disk::read(path);
        disk.files_mark() == self.files && self.asked.iter().all(|(name, mark)| digest(&disk.ask(name)) == *mark)
    }
}

type Text = Result<String, String>;

/// The files as one look found them; each is read once.
struct Disk {
    folder: PathBuf,
    files: Result<Vec<(PathBuf, Text)>, String>,
    asked: RefCell<BTreeMap<String, Text>>,
    left: Cell<u64>,
}

impl Disk {
    fn read(path: &Path) -> Self {
        let folder = if path.is_dir() { Some(path) } else { path.parent() };
        let mut disk = Self {
            folder: folder.unwrap_or(Path::new("")).to_path_buf(),
            files: Ok(Vec::new()),
            asked: RefCell::default(),
            left: Cell::new(MOST_BYTES),
        };
        let read = |file: PathBuf| {
            let text = disk.text(&file).map_err(|error| format!("cannot be read: {error}"));
            (file, text)
        };
        disk.files = list(path).map(|files| files.into_iter().map(read).collect());
        disk
    }

    fn compile(&self, path: &Path, terms: &Terms) -> Loaded {
        let files = match &self.files {
            Ok(files) => files,
            Err(why) => {
                let problem = Problem::error(path.display().to_string(), why);
                return Loaded { rules: None, problems: vec![problem] };
            }
        };
        let mut problems = unknown_files(path, files, terms);
        let mut texts = Vec::new();
        for (file, text) in files {
            let origin = file.display().to_string();
            match text {
                Ok(text) => texts.push((origin, text.clone())),
                Err(why) => problems.push(Problem::error(origin, why)),
            }
        }
        let mut loaded = compile(texts, terms, &|name| self.ask(name));
        if !problems.is_empty() {
            loaded.rules = None;
            problems.append(&mut loaded.problems);
            loaded.problems = problems;
        }
        loaded
    }

    /// A file of the folder, by its name in a rule.
    fn ask(&self, name: &str) -> Text {
        if let Some(known) = self.asked.borrow().get(name) {
            return known.clone();
        }
        let text = self.read_inside(name);
        self.asked.borrow_mut().insert(name.to_owned(), text.clone());
        text
    }

    /// Reads a file inside the folder. Links are followed (a mounted folder of Kubernetes consists of them), `..` is
    /// not.
    fn read_inside(&self, name: &str) -> Text {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() {
            return Err(format!("\"{name}\" is not a file of the rules' folder"));
        }
        self.text(&self.folder.join(name)).map_err(|error| format!("\"{name}\" cannot be read: {error}"))
    }

    fn text(&self, file: &Path) -> io::Result<String> {
        // Opening a pipe would wait for somebody to write into it.
        if !fs::metadata(file)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = String::new();
        let left = self.left.get();
        let length = File::open(file)?.take(left + 1).read_to_string(&mut text)? as u64;
        self.left.set(left.saturating_sub(length));
        if length > left {
            return Err(io::Error::other(format!("the rules have more than {} MiB together", MOST_BYTES >> 20)));
        }
        Ok(text)
    }

    fn mark(&self) -> Mark {
        let asked = self.asked.borrow();
        let asked = asked.iter().map(|(name, text)| (name.clone(), digest(text)));
        Mark { files: self.files_mark(), asked: asked.collect() }
    }

    /// Names count too: the ceilings of a file go by its name.
    fn files_mark(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        match &self.files {
            Err(why) => hash.update(why),
            Ok(files) => {
                for (file, text) in files {
                    hash.update(Sha256::digest(file.as_os_str().as_encoded_bytes()));
                    hash.update(digest(text));
                }
            }
        }
        hash.finalize().into()
    }
}

fn digest(text: &Text) -> [u8; 32] {
    let (Ok(said) | Err(said)) = text;
    let mut hash = Sha256::new_with_prefix([u8::from(text.is_ok())]);
    hash.update(said);
    hash.finalize().into()
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
    let disk = Disk::read(path);
    disk.compile(path, &Terms::default());
    let files = disk.files.map_err(|why| format!("{}: {why}", path.display()))?;
    let named = |(file, text): (PathBuf, Text)| {
        let origin = file.display().to_string();
        text.map(|text| (origin.clone(), text)).map_err(|why| format!("{origin} {why}"))
    };
    let files = files.into_iter().map(named).collect::<Result<_, _>>()?;
    let beside = disk.asked.into_inner().into_iter().filter_map(|(name, text)| Some((name, text.ok()?)));
    Ok(Bundle { files, beside: beside.collect() })
}

fn list(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| format!("cannot be read: {error}"))?.path();
        if is_rules(&file) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err("the folder holds no *.toml file".to_owned());
    }
    files.sort();
    Ok(files)
}

/// Whether an entry of the folder holds rules. One that nobody can look at does: its rules must not go without a word,
/// and reading it says why. Emacs marks a file that is being edited with a link to nowhere beside it.
fn is_rules(file: &Path) -> bool {
    let lock = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".#"));
    file.extension().is_some_and(|ending| ending == "toml") && !lock && !file.is_dir()
}

/// A ceiling for a file that is not there is no ceiling: the file may have another name now, and is not bound any more.
fn unknown_files(path: &Path, files: &[(PathBuf, Text)], terms: &Terms) -> Vec<Problem> {
    let names: Vec<&str> = files.iter().filter_map(|(file, _)| file.file_name()?.to_str()).collect();
    let unknown = terms.files.keys().filter(|name| !names.contains(&name.as_str()));
    let problem = |name: &String| {
        let message = format!("the settings bind \"{name}\" ([rules.files.\"{name}\"]), and there is no such file");
        let help = match nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("there is {}; take the table out of the settings when the file is gone", names.join(", ")),
        };
        Problem::error(path.display().to_string(), message).help(help)
    };
    unknown.map(problem).collect()
}
