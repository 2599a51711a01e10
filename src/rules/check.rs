//! Reads templates and expressions before they are ever used: misspelt fields, unknown names, foreign constructs.

use minijinja::machinery::ast::{CallArg, CallType, Expr, Spanned, Stmt};
use minijinja::machinery::{Span, parse, parse_expr};
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind};

use super::fields::{EVENT, Type, can_have};
use crate::model::event::Kind;
use crate::model::problem::nearest;

/// Something wrong in a template: what, where in its text, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) span: std::ops::Range<usize>,
}

/// What a template is checked against.
pub(super) struct Scope<'a> {
    /// The names that it may read.
    pub(super) roots: &'static [(&'static str, Type)],
    /// The kinds of events that its rule may get; empty when they cannot be known.
    pub(super) kinds: &'a [Kind],
    /// The names of the look-ups.
    pub(super) maps: &'a [String],
    /// Knows the filters and tests.
    pub(super) env: &'a Environment<'static>,
}

/// What was found in a template.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    /// The files that it includes.
    pub(super) includes: Vec<(String, std::ops::Range<usize>)>,
    /// The roots that it reads.
    pub(super) roots: Vec<&'static str>,
}

/// Checks a template.
pub(super) fn template(text: &str, scope: &Scope<'_>) -> Findings {
    let mut walk = Walk { scope, vars: Vec::new(), found: Findings::default() };
    match parse(text, "template", minijinja::syntax::SyntaxConfig::default()) {
        Ok(Stmt::Template(root)) => walk.block(&root.children),
        Ok(_) => {}
        Err(error) => walk.syntax(text, &error),
    }
    walk.found
}

/// Checks an expression.
pub(super) fn expression(text: &str, scope: &Scope<'_>) -> Findings {
    let mut walk = Walk { scope, vars: Vec::new(), found: Findings::default() };
    match parse_expr(text) {
        Ok(expr) => {
            walk.expr(&expr);
        }
        Err(error) => walk.syntax(text, &error),
    }
    walk.found
}

struct Walk<'a> {
    scope: &'a Scope<'a>,
    vars: Vec<(String, Type)>,
    found: Findings,
}

impl Walk<'_> {
    fn fault(&mut self, span: Span, message: String, help: Option<String>) {
        let span = span.start_offset as usize..span.end_offset as usize;
        self.found.faults.push(Fault { message, help, span });
    }

    fn syntax(&mut self, text: &str, error: &minijinja::Error) {
        // An error without a range is one of the end of the text.
        let span = error.range().unwrap_or(text.len()..text.len());
        let message = error.detail().unwrap_or("it cannot be read").to_owned();
        self.found.faults.push(Fault { message, help: None, span });
    }

    fn block(&mut self, body: &[Stmt<'_>]) {
        let depth = self.vars.len();
        for statement in body {
            self.statement(statement);
        }
        self.vars.truncate(depth);
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(root) => self.block(&root.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => {
                self.expr(&emit.expr);
            }
            Stmt::ForLoop(each) => {
                let item = element(self.expr(&each.iter));
                let depth = self.vars.len();
                self.bind(&each.target, item);
                self.vars.push(("loop".to_owned(), Type::Any));
                if let Some(filter) = &each.filter_expr {
                    self.expr(filter);
                }
                self.block(&each.body);
                self.vars.truncate(depth);
                self.block(&each.else_body);
            }
            Stmt::IfCond(cond) => {
                self.expr(&cond.expr);
                self.block(&cond.true_body);
                self.block(&cond.false_body);
            }
            Stmt::WithBlock(with) => {
                let depth = self.vars.len();
                for (target, value) in &with.assignments {
                    let kind = self.expr(value);
                    self.bind(target, kind);
                }
                self.block(&with.body);
                self.vars.truncate(depth);
            }
            Stmt::Set(set) => {
                let kind = self.expr(&set.expr);
                self.bind(&set.target, kind);
            }
            Stmt::Include(include) => match &include.name {
                Expr::Const(name) if name.value.as_str().is_some() => {
                    let span = name.span();
                    let file = name.value.as_str().unwrap_or_default().to_owned();
                    self.found.includes.push((file, span.start_offset as usize..span.end_offset as usize));
                }
                other => self.fault(other.span(), "include needs the name of a file in quotes".to_owned(), None),
            },
            Stmt::SetBlock(node) => self.foreign(node, "set block"),
            Stmt::AutoEscape(node) => self.foreign(node, "autoescape"),
            Stmt::FilterBlock(node) => self.foreign(node, "filter block"),
            Stmt::Block(node) => self.foreign(node, "block"),
            Stmt::Import(node) => self.foreign(node, "import"),
            Stmt::FromImport(node) => self.foreign(node, "from"),
            Stmt::Extends(node) => self.foreign(node, "extends"),
            Stmt::Macro(node) => self.foreign(node, "macro"),
            Stmt::CallBlock(node) => self.foreign(node, "call"),
            Stmt::Do(node) => self.foreign(node, "do"),
        }
    }

    fn foreign<T>(&mut self, node: &Spanned<T>, word: &str) {
        let help = "prompts have text, {{ values }}, if, for, set, with and include".to_owned();
        self.fault(node.span(), format!("\"{word}\" is not part of the rules language"), Some(help));
    }

    fn bind(&mut self, target: &Expr<'_>, kind: Type) {
        match target {
            Expr::Var(var) => self.vars.push((var.id.to_owned(), kind)),
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item, Type::Any)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item, Type::Any)),
            _ => {}
        }
    }

    /// Checks an expression and tells its type.
    fn expr(&mut self, expr: &Expr<'_>) -> Type {
        match expr {
            Expr::Var(var) => self.variable(var.id, var.span()),
            Expr::Const(_) => Type::Plain,
            Expr::GetAttr(get) => {
                let of = self.expr(&get.expr);
                self.map(&get.expr, get.name, get.span());
                self.field(of, get.name, get.span(), matches!(&get.expr, Expr::Var(_)))
            }
            Expr::GetItem(get) => {
                let of = self.expr(&get.expr);
                self.expr(&get.subscript_expr);
                match &get.subscript_expr {
                    Expr::Const(key) if key.value.as_str().is_some() => {
                        let key = key.value.as_str().unwrap_or_default().to_owned();
                        self.map(&get.expr, &key, get.span());
                        self.field(of, &key, get.span(), matches!(&get.expr, Expr::Var(_)))
                    }
                    _ => element(of),
                }
            }
            Expr::Slice(slice) => {
                let of = self.expr(&slice.expr);
                for part in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expr(part);
                }
                of
            }
            Expr::UnaryOp(op) => {
                self.expr(&op.expr);
                Type::Plain
            }
            Expr::BinOp(op) => {
                let (left, right) = (self.expr(&op.left), self.expr(&op.right));
                if left == right { left } else { Type::Any }
            }
            Expr::Compare(compare) => {
                self.expr(&compare.expr);
                for op in &compare.ops {
                    self.expr(&op.expr);
                }
                Type::Plain
            }
            Expr::IfExpr(choice) => {
                self.expr(&choice.test_expr);
                let yes = self.expr(&choice.true_expr);
                let no = choice.false_expr.as_ref().map(|expr| self.expr(expr));
                if no == Some(yes) { yes } else { Type::Any }
            }
            Expr::Filter(filter) => {
                let of = filter.expr.as_ref().map_or(Type::Any, |expr| self.expr(expr));
                self.args(&filter.args);
                self.known(filter.name, filter.span(), "filter", |env, name| {
                    env.empty_state().apply_filter(name, &[]).is_err_and(|e| e.kind() == ErrorKind::UnknownFilter)
                });
                self.filtered(filter.name, of, &filter.args, filter.span())
            }
            Expr::Test(test) => {
                self.expr(&test.expr);
                self.args(&test.args);
                self.known(test.name, test.span(), "test", |env, name| {
                    env.empty_state().perform_test(name, &[]).is_err_and(|e| e.kind() == ErrorKind::UnknownTest)
                });
                Type::Plain
            }
            Expr::Call(call) => {
                self.args(&call.args);
                match call.identify_call() {
                    CallType::Function("range" | "dict") => {}
                    CallType::Function(name) => {
                        self.fault(call.span(), format!("there is no function \"{name}\""), None);
                    }
                    _ => {
                        let help = "use a filter, e.g. {{ event.repo | upper }}".to_owned();
                        self.fault(call.span(), "values have no methods".to_owned(), Some(help));
                    }
                }
                Type::Any
            }
            Expr::List(list) => {
                self.all(&list.items);
                Type::Any
            }
            Expr::Tuple(tuple) => {
                self.all(&tuple.items);
                Type::Any
            }
            Expr::Map(map) => {
                self.all(&map.keys);
                self.all(&map.values);
                Type::Any
            }
        }
    }

    fn all(&mut self, items: &[Expr<'_>]) {
        for item in items {
            self.expr(item);
        }
    }

    fn args(&mut self, args: &[CallArg<'_>]) {
        for arg in args {
            match arg {
                CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => {
                    self.expr(expr);
                }
            }
        }
    }

    fn known(&mut self, name: &str, span: Span, what: &str, missing: impl Fn(&Environment<'_>, &str) -> bool) {
        if missing(self.scope.env, name) {
            self.fault(span, format!("there is no {what} \"{name}\""), None);
        }
    }

    fn variable(&mut self, name: &str, span: Span) -> Type {
        let scope = self.scope;
        if let Some((_, kind)) = self.vars.iter().rev().find(|(var, _)| var == name) {
            return *kind;
        }
        if let Some((root, kind)) = scope.roots.iter().find(|(root, _)| *root == name) {
            self.found.roots.push(root);
            return *kind;
        }
        let help =
            nearest(name, scope.roots.iter().map(|(root, _)| *root)).map(|near| format!("did you mean \"{near}\"?"));
        self.fault(span, format!("there is no \"{name}\" here"), help);
        Type::Any
    }

    /// A look-up that no file has would fail at every event.
    fn map(&mut self, of: &Expr<'_>, name: &str, span: Span) {
        let is_maps =
            matches!(of, Expr::Var(var) if var.id == "maps" && !self.vars.iter().any(|(own, _)| own == var.id));
        if is_maps && !self.scope.maps.iter().any(|map| map == name) {
            let near = nearest(name, self.scope.maps.iter().map(String::as_str));
            let help = near
                .map_or_else(|| format!("add [maps.{name}] to the rules"), |near| format!("did you mean \"{near}\"?"));
            self.fault(span, format!("there is no map \"{name}\""), Some(help));
        }
    }

    fn field(&mut self, of: Type, name: &str, span: Span, of_root: bool) -> Type {
        let record = match of {
            Type::Any => return Type::Any,
            Type::Record(record) => record,
            Type::Plain => {
                self.fault(span, format!("a plain value has no field \"{name}\""), None);
                return Type::Any;
            }
            Type::Plains | Type::Records(_) => {
                let help = "take one with `| first`, or all with {% for … %}".to_owned();
                self.fault(span, format!("a list has no field \"{name}\""), Some(help));
                return Type::Any;
            }
        };
        let Some(kind) = record.field(name) else {
            let help = nearest(name, record.fields.iter().map(|(field, _)| *field))
                .map(|near| format!("did you mean \"{near}\"?"));
            self.fault(span, format!("{} has no field \"{name}\"", record.name), help);
            return Type::Any;
        };
        let kinds = self.scope.kinds;
        let own = of_root && std::ptr::eq(record, &raw const EVENT) && !kinds.is_empty();
        if own && kinds.iter().all(|event| !can_have(Some(*event), name)) {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            self.fault(span, format!("event.{name} is never there for {}", names.join(", ")), None);
        }
        kind
    }

    /// The type that a filter makes, with the attribute names that it takes checked.
    fn filtered(&mut self, filter: &str, of: Type, args: &[CallArg<'_>], span: Span) -> Type {
        let named = args.iter().find_map(|arg| match arg {
            CallArg::Kwarg("attribute", expr) => Some(expr),
            _ => None,
        });
        let first = args.first().and_then(|arg| if let CallArg::Pos(expr) = arg { Some(expr) } else { None });
        let attribute = match filter {
            "selectattr" | "rejectattr" | "groupby" | "attr" => named.or(first),
            _ => named,
        };
        let mut reached = Type::Any;
        if let Some(Expr::Const(name)) = attribute
            && name.value.kind() == ValueKind::String
        {
            reached = if filter == "attr" { of } else { element(of) };
            for part in name.value.as_str().unwrap_or_default().split('.') {
                if part.parse::<usize>().is_ok() {
                    reached = element(reached);
                } else {
                    reached = self.field(reached, part, span, false);
                }
            }
        }
        match filter {
            "first" | "last" | "min" | "max" => element(of),
            "list" | "sort" | "reverse" | "unique" | "select" | "reject" | "selectattr" | "rejectattr" => of,
            "map" if named.is_some() => match reached {
                Type::Plain => Type::Plains,
                Type::Record(record) => Type::Records(record),
                _ => Type::Any,
            },
            "attr" => reached,
            "length" | "count" | "upper" | "lower" | "trim" | "join" | "title" | "fence" | "int" | "string" => {
                Type::Plain
            }
            _ => Type::Any,
        }
    }
}

fn element(of: Type) -> Type {
    match of {
        Type::Plains => Type::Plain,
        Type::Records(record) => Type::Record(record),
        Type::Any | Type::Plain | Type::Record(_) => Type::Any,
    }
}
