//! A page of a list, in two statements on one state: the number of all rows that fit, and the page's rows.
//!
//! The page begins behind a value of the field that it is sorted by, and an id, so that an index leads to it wherever it
//! is. Values go as parameters; what stands in the text of a statement comes from the tables of
//! [`query`](crate::core::query) alone.

use ferroflow_platform::records::{Error, Records, Row, Statement, Value};

use crate::core::query::{
    Kind, Listable, Operand, Operation, Page, Predicate, Target,
    page::{Direction, Sorted},
};

/// What every row of a list must have: a column and its value.
pub type Scope = (&'static str, String);

/// The scope of most lists.
const NAMESPACE: &str = "namespace";

/// A page of rows.
#[derive(Debug)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    pub total: i64,
    /// The token of the next page; empty on the last one.
    pub next: String,
}

/// What is selected for a row.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// The columns of the table.
    pub columns: &'static str,
    /// Columns of joined tables, with a comma before each, and the join with the page `p`, which keeps its number of rows;
    /// both may be empty.
    pub joined: (&'static str, &'static str),
}

/// Columns before the selected ones: the id, the value that the list is sorted by.
const BEFORE: usize = 2;

/// A row of a page, and where it stands in the list.
struct Placed {
    value: Sorted,
    id: String,
    row: Row,
}

/// Reads a page. `read` is called with the selected columns of a row.
///
/// # Errors
/// [`Error`].
pub async fn list<T>(
    records: &Records,
    listable: &Listable,
    scope: &[Scope],
    page: &Page,
    selected: Selected,
    read: impl Fn(Row) -> Result<T, Error>,
) -> Result<Listed<T>, Error> {
    let statements = vec![count(listable, scope, page).into(), rows(listable, scope, page, selected).into()];
    let mut found = records.read_all(statements).await?.into_iter();
    let counted = found.next().unwrap_or_default();
    let total = counted.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
    let placed = found.next().unwrap_or_default().into_iter().map(|row| placed(row, page));
    let mut placed = placed.collect::<Result<Vec<Placed>, Error>>()?;
    // PostgreSQL may have joined them in another order. Where they are in order, nothing is moved.
    placed.sort_by(|one, other| {
        let ascending = (&one.value, &one.id).cmp(&(&other.value, &other.id));
        if page.order.direction == Direction::Ascending { ascending } else { ascending.reverse() }
    });
    let is_last = placed.len() <= page.size;
    placed.truncate(page.size);
    let next = match placed.last() {
        Some(last) if !is_last => page.next(listable, last.value.clone(), &last.id),
        _ => String::new(),
    };
    let rows: Result<Vec<T>, Error> = placed.into_iter().map(|placed| read(placed.row.from(BEFORE))).collect();
    Ok(Listed { rows: rows?, total, next })
}

fn placed(mut row: Row, page: &Page) -> Result<Placed, Error> {
    let id = row.take_text(0)?;
    let value = match page.order.field.kind {
        Kind::Text => Sorted::Text(row.take_text(1)?),
        Kind::Time => Sorted::Time(row.integer(1)?),
    };
    Ok(Placed { value, id, row })
}

/// How the store counts, and how it finds a page.
#[cfg(test)]
pub async fn explain(
    records: &Records,
    listable: &Listable,
    scope: &[Scope],
    page: &Page,
) -> Result<Vec<String>, Error> {
    let selected = Selected { columns: listable.key, joined: ("", "") };
    let explained = [count(listable, scope, page), rows(listable, scope, page, selected)]
        .map(|sql| Statement::new(format!("EXPLAIN QUERY PLAN {}", sql.text), sql.values));
    let found = records.read_all(explained.into()).await?;
    found.iter().flatten().map(|row| row.text(3).map(str::to_owned)).collect()
}

/// Text and values of a statement that is being written.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends the placeholder of a value.
    fn value(&mut self, value: impl Into<Value>) {
        let placeholder = self.placeholder(value);
        self.push(&placeholder);
    }

    /// The placeholder of a value, which may be appended more than once.
    fn placeholder(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

impl From<Sql> for Statement {
    fn from(sql: Sql) -> Self {
        Self::new(sql.text, sql.values)
    }
}

fn count(listable: &Listable, scope: &[Scope], page: &Page) -> Sql {
    let mut sql = Sql::default();
    let table = listable.table;
    match (scope, page.predicates.as_slice()) {
        // SQLite counts all rows of a table by its pages, and some of them one by one. So where there is one namespace all
        // are counted. Every table has an index that begins with the namespace, which tells at once whether there are more.
        ([(NAMESPACE, namespace)], []) => {
            let namespace = sql.placeholder(namespace.as_str());
            sql.push(&format!(
                "SELECT CASE WHEN EXISTS (SELECT 1 FROM {table} WHERE namespace < {namespace}) \
                 OR EXISTS (SELECT 1 FROM {table} WHERE namespace > {namespace}) \
                 THEN (SELECT COUNT(*) FROM {table} WHERE namespace = {namespace}) \
                 ELSE (SELECT COUNT(*) FROM {table}) END"
            ));
        }
        _ => {
            sql.push(&format!("SELECT COUNT(*) FROM {table}"));
            conditions(&mut sql, listable, scope, page);
        }
    }
    sql
}

fn rows(listable: &Listable, scope: &[Scope], page: &Page, selected: Selected) -> Sql {
    let mut sql = Sql::default();
    let Selected { columns, joined: (joined, join) } = selected;
    let Listable { table, key, .. } = listable;
    let (column, order) = (page.order.field.column, direction(page.order.direction));
    // The page is cut before it is joined, so that only its rows are. It is not ordered once more behind that, for which
    // SQLite would copy all of it into a table.
    sql.push(&format!(
        "SELECT p.*{joined} FROM (SELECT {key} AS page_id, {column} AS page_value, {columns} FROM {table}"
    ));
    conditions(&mut sql, listable, scope, page);
    if let Some(after) = &page.after {
        let beyond = if page.order.direction == Direction::Ascending { '>' } else { '<' };
        let word = if scope.is_empty() && page.predicates.is_empty() { "WHERE" } else { "AND" };
        sql.push(&format!(" {word} ({column}, {key}) {beyond} ("));
        match &after.value {
            Sorted::Text(text) => sql.value(text.as_str()),
            Sorted::Time(ms) => sql.value(*ms),
        }
        sql.push(", ");
        sql.value(after.id.as_str());
        sql.push(")");
    }
    let limit = page.size + 1;
    sql.push(&format!(" ORDER BY {column} {order}, {key} {order} LIMIT {limit}) p {join}"));
    sql
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

fn conditions(sql: &mut Sql, listable: &Listable, scope: &[Scope], page: &Page) {
    let mut word = " WHERE ";
    for (column, value) in scope {
        sql.push(word);
        sql.push(column);
        sql.push(" = ");
        sql.value(value.as_str());
        word = " AND ";
    }
    for predicate in &page.predicates {
        sql.push(word);
        condition(sql, listable, predicate);
        word = " AND ";
    }
}

fn condition(sql: &mut Sql, listable: &Listable, predicate: &Predicate) {
    match &predicate.target {
        Target::Field(field) => match field.kind {
            Kind::Text => compare_text(sql, field.column, predicate),
            Kind::Time => compare_time(sql, field.column, predicate),
        },
        Target::Tag(tag) => {
            // What has no such tag is unequal to every value.
            let (negated, operation) = match predicate.operation {
                Operation::NotEquals => ("NOT ", Operation::Equals),
                other => ("", other),
            };
            let key = listable.key;
            sql.push(&format!("{negated}EXISTS (SELECT 1 FROM pipelines_tags WHERE owner = {key} AND tag = "));
            sql.value(tag.as_str());
            sql.push(" AND ");
            compare_text(sql, "value", &Predicate { operation, ..predicate.clone() });
            sql.push(")");
        }
    }
}

fn compare_text(sql: &mut Sql, column: &str, predicate: &Predicate) {
    match &predicate.operand {
        Operand::Text(text) if predicate.operation == Operation::Substring => {
            // Lower case of ASCII alone, as a column's is.
            let escaped = text.to_ascii_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
            sql.push(&format!("LOWER({column}) LIKE "));
            sql.value(format!("%{escaped}%"));
            sql.push(" ESCAPE '!'");
        }
        Operand::Text(text) => {
            sql.push(&format!("{column} {} ", sign(predicate.operation)));
            sql.value(text.as_str());
        }
        Operand::Texts(texts) if !texts.is_empty() => {
            sql.push(&format!("{column} IN ("));
            for (number, text) in texts.iter().enumerate() {
                sql.push(if number > 0 { ", " } else { "" });
                sql.value(text.as_str());
            }
            sql.push(")");
        }
        Operand::Texts(_) | Operand::Number(_) | Operand::Numbers(_) => sql.push("1 = 0"),
    }
}

/// Compares milliseconds with whole seconds, so that an index on the column serves.
fn compare_time(sql: &mut Sql, column: &str, predicate: &Predicate) {
    let numbers: &[i64] = match &predicate.operand {
        Operand::Number(number) => std::slice::from_ref(number),
        Operand::Numbers(numbers) => numbers,
        Operand::Text(_) | Operand::Texts(_) => &[],
    };
    if numbers.is_empty() {
        return sql.push("1 = 0");
    }
    sql.push("(");
    for (number, seconds) in numbers.iter().enumerate() {
        sql.push(if number > 0 { " OR " } else { "" });
        let (from, to) = (seconds * 1000, (seconds + 1) * 1000);
        let (text, low, high) = match predicate.operation {
            Operation::Greater => (">= ", Some(to), None),
            Operation::GreaterEquals => (">= ", Some(from), None),
            Operation::Less => ("< ", Some(from), None),
            Operation::LessEquals => ("< ", Some(to), None),
            Operation::NotEquals => ("NOT BETWEEN ", Some(from), Some(to - 1)),
            Operation::Equals | Operation::In | Operation::Substring => ("BETWEEN ", Some(from), Some(to - 1)),
        };
        sql.push(&format!("{column} {text}"));
        low.into_iter().for_each(|value| sql.value(value));
        if let Some(high) = high {
            sql.push(" AND ");
            sql.value(high);
        }
    }
    sql.push(")");
}

fn sign(operation: Operation) -> &'static str {
    match operation {
        Operation::NotEquals => "<>",
        Operation::Greater => ">",
        Operation::GreaterEquals => ">=",
        Operation::Less => "<",
        Operation::LessEquals => "<=",
        Operation::Equals | Operation::In | Operation::Substring => "=",
    }
}
