//! What the server's catalogue says of a table: columns, indexes, references, triggers. No
//! row is read, and names in SQL come from here only.
//!
//! It is asked with `pg_catalog` as the search path, so that the texts that the server makes
//! (types, defaults, definitions) name everything else with its schema.

use crate::engine::postgres::session::{Server, Session, Stop, quote};
use crate::engine::postgres::types::Form;
use crate::engine::wire::words;
use crate::error::Error;
use crate::model::table::{Collation, TableName};

/// The beginning of a query: `parts(oid, kind)`, the table `$1` and the partitions below it.
macro_rules! parts {
    () => {
        "with recursive parts(oid, kind) as ( \
           select c.oid, c.relkind from pg_catalog.pg_class c \
           where c.oid operator(pg_catalog.=) $1::pg_catalog.oid \
           union all \
           select c.oid, c.relkind from parts p \
           join pg_catalog.pg_inherits i on i.inhparent operator(pg_catalog.=) p.oid \
           join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) i.inhrelid \
           where p.kind operator(pg_catalog.=) 'p') "
    };
}

pub(crate) use parts;

/// A table or another relation with columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Its oid, as text.
    pub(crate) oid: String,
    /// The name that a person sees: bare in `public`, else with its schema.
    pub(crate) name: TableName,
    /// Schema and name, quoted.
    pub(crate) quoted: String,
    /// `pg_class.relkind`.
    pub(crate) kind: char,
    /// What the statistics say of its rows; `None` where there are none.
    pub(crate) rows: Option<u64>,
    /// Row-level security holds for this role.
    pub(crate) secured: bool,
    /// Rules rewrite what is written to it.
    pub(crate) ruled: bool,
    /// A partition of it is a foreign table.
    pub(crate) foreign: bool,
    /// Its columns in declared order.
    pub(crate) columns: Vec<TableColumn>,
    /// Its unique indexes, the primary key's first.
    pub(crate) uniques: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    /// The name.
    pub(crate) name: String,
    /// The type as the server prints it, a domain's base type.
    pub(crate) declared: String,
    /// How its values come.
    pub(crate) form: Form,
    /// The base type, quoted with its schema: it takes a length nowhere, so that a cast to it
    /// cuts nothing off.
    pub(crate) cast: String,
    /// The base type is one of `pg_catalog`, or an enum.
    pub(crate) native: bool,
    /// The operator by which its type's index finds equals, with its schema.
    equals: String,
    /// The collation's name, where its type has one.
    pub(crate) collated: Option<String>,
    /// Texts are compared as bytes.
    by_bytes: bool,
    /// Texts that are equal are the same bytes.
    deterministic: bool,
    /// NOT NULL.
    pub(crate) not_null: bool,
    /// It is computed.
    pub(crate) generated: bool,
    /// GENERATED ALWAYS (`a`) or BY DEFAULT (`d`) AS IDENTITY.
    pub(crate) identity: Option<char>,
    /// The default as SQL.
    pub(crate) default: Option<String>,
}

/// A unique index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Its name.
    pub(crate) name: String,
    /// It is the primary key's.
    pub(crate) primary: bool,
    /// It has a WHERE clause.
    pub(crate) partial: bool,
    /// Its columns; `None` for an expression.
    pub(crate) columns: Vec<Option<String>>,
}

impl TableColumn {
    /// What the server takes for equal in this column.
    pub(crate) fn collation(&self) -> Collation {
        let own = self.collated.clone().unwrap_or_else(|| self.declared.clone());
        match self.form {
            Form::Text if self.is_padded() => Collation::Coarse(own),
            Form::Text if self.deterministic && self.native => Collation::Binary,
            // 1.0 and 1.00, 24:00:00 and 1 day, a and A of citext are equal.
            Form::Numeric | Form::Text | Form::Output | Form::Jsonb => Collation::Coarse(own),
            _ => Collation::Binary,
        }
    }

    /// True where the server orders values as their carriers do. `infinity` and `NaN` stand at
    /// the end here, and are NULL in their carriers, which comes first.
    pub(crate) fn is_ordered(&self) -> bool {
        match self.form {
            Form::Bool | Form::Int(_) | Form::Oid | Form::Uuid | Form::Bytes => true,
            Form::Text => {
                self.native && self.by_bytes && self.collated.is_some() && !self.is_padded()
            }
            _ => false,
        }
    }

    /// True where a literal is compared with the column as the column's index orders it, with
    /// operators that `pg_catalog` has.
    pub(crate) fn is_seekable(&self) -> bool {
        self.native && !matches!(self.form, Form::Float | Form::Double)
    }

    /// `character`, with a length or without: spaces at the end count for nothing.
    fn is_padded(&self) -> bool {
        self.cast == "pg_catalog.bpchar"
    }

    /// The column as a cell to be read, of the table called `of`.
    pub(crate) fn cell(&self, of: &str) -> String {
        let name = format!("{of}.{}", quote(&self.name));
        match self.form {
            // A composite of NULLs `is null`, but is distinct from NULL.
            Form::Output => format!(
                "case when {name} is distinct from null then pg_catalog.format('%s', {name}) end"
            ),
            _ => name,
        }
    }

    /// A condition: the column of the table called `of` equals `value`, as its index has it.
    pub(crate) fn is_equal(&self, of: &str, value: &str) -> String {
        format!("{of}.{} operator({}) {value}", quote(&self.name), self.equals)
    }
}

impl Index {
    /// The columns of an index that tells all rows apart.
    pub(crate) fn key_columns<'t>(&self, table: &'t Table) -> Option<Vec<&'t TableColumn>> {
        if self.partial {
            return None;
        }
        let found = self.columns.iter().map(|name| {
            let name = name.as_ref()?;
            table.columns.iter().find(|c| c.name == *name).filter(|column| column.not_null)
        });
        found.collect()
    }
}

impl Table {
    /// Looks a table up by the name that a person gives: `events`, `public.events`, `hr.staff`.
    pub(crate) async fn find(
        session: &mut Session,
        server: &Server,
        name: &TableName,
    ) -> Result<Option<Self>, Stop> {
        // Not by pg_partition_tree, which locks the partitions.
        let rows = session
            .strings(
                "select c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, \
                 case when c.relkind = 'p' then \
                   (with recursive part(oid) as ( \
                      select inhrelid from pg_catalog.pg_inherits where inhparent = c.oid \
                      union all select i.inhrelid from part \
                      join pg_catalog.pg_inherits i on i.inhparent = part.oid) \
                    select case when min(leaf.reltuples) >= 0 then sum(leaf.reltuples) end \
                    from part join pg_catalog.pg_class leaf on leaf.oid = part.oid \
                    where leaf.relkind <> 'p') \
                 when c.reltuples >= 0 then c.reltuples end::int8::text, \
                 pg_catalog.row_security_active(c.oid)::text, \
                 exists (select from pg_catalog.pg_rewrite r where r.ev_class = c.oid \
                   and r.ev_type <> '1')::text, \
                 (c.relkind = 'p' and exists (with recursive part(oid) as ( \
                    select inhrelid from pg_catalog.pg_inherits where inhparent = c.oid \
                    union all select i.inhrelid from part \
                    join pg_catalog.pg_inherits i on i.inhparent = part.oid) \
                  select from part join pg_catalog.pg_class leaf on leaf.oid = part.oid \
                  where leaf.relkind = 'f'))::text \
                 from pg_catalog.pg_class c \
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                 where c.relkind in ('r', 'p', 'v', 'm', 'f') \
                 and (n.nspname = 'public' and c.relname = $1 \
                   or n.nspname || '.' || c.relname = $1)",
                &[&name.to_string()],
            )
            .await?;
        if rows.len() > 1 {
            return Err(Error::usage(format!(
                "two tables are called {name}: one of schema public, one of another schema"
            ))
            .into());
        }
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let rows = row.get(4).and_then(|cell| cell.as_ref()?.parse().ok());
        let [oid, schema, bare, kind, _, secured, ruled, foreign] = words(row);
        let name = shown(&schema, &bare);
        let columns = columns(session, server, &oid).await?;
        let uniques = uniques(session, &oid).await?;
        Ok(Some(Self {
            quoted: format!("{}.{}", quote(&schema), quote(&bare)),
            kind: kind.chars().next().unwrap_or('r'),
            secured: secured == "true",
            ruled: ruled == "true",
            foreign: foreign == "true",
            oid,
            name,
            rows,
            columns,
            uniques,
        }))
    }

    /// The base tables, partitions left out for the tables they belong to.
    pub(crate) async fn base_tables(session: &mut Session) -> Result<Vec<TableName>, Stop> {
        let rows = session
            .strings(
                "select n.nspname::text, c.relname::text from pg_catalog.pg_class c \
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                 where c.relkind in ('r', 'p') and not c.relispartition \
                 and c.relpersistence <> 't' and n.nspname <> 'information_schema' \
                 and n.nspname not like 'pg\\_%'",
                &[],
            )
            .await?;
        let mut names: Vec<TableName> =
            rows.into_iter().map(words::<2>).map(|[schema, name]| shown(&schema, &name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// A base table, whose rows are its own.
    pub(crate) fn is_base(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// The table in FROM: without the rows of tables that inherit from it, which are listed on
    /// their own; with those of its partitions.
    pub(crate) fn from(&self) -> String {
        match self.kind {
            'r' => format!("only {}", self.quoted),
            _ => self.quoted.clone(),
        }
    }

    /// The column of this name, or an error that says that there is none.
    pub(crate) fn require(&self, name: &str) -> Result<&TableColumn, Error> {
        let exact = self.columns.iter().find(|c| c.name == name);
        let found = exact.or_else(|| {
            let mut alike = self.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(name));
            alike.next().filter(|_| alike.next().is_none())
        });
        found.ok_or_else(|| Error::usage(format!("table {} has no column {name}", self.name)))
    }
}

/// The name that a person sees.
pub(super) fn shown(schema: &str, name: &str) -> TableName {
    match schema {
        "public" => TableName::bare(name),
        _ => TableName::bare(format!("{schema}.{name}")),
    }
}

async fn columns(
    session: &mut Session,
    server: &Server,
    oid: &str,
) -> Result<Vec<TableColumn>, Stop> {
    let rows = session
        .strings(
            "with recursive base(att, oid, mod) as ( \
               select a.attnum, a.atttypid, a.atttypmod from pg_catalog.pg_attribute a \
               where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped \
               union all \
               select b.att, t.typbasetype, \
                 case when t.typtypmod <> -1 then t.typtypmod else b.mod end \
               from base b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd') \
             select a.attname::text, pg_catalog.format_type(t.oid, b.mod), t.oid::text, \
               t.typtype::text, b.mod::text, \
               pg_catalog.quote_ident(tn.nspname) || '.' || pg_catalog.quote_ident(t.typname), \
               (tn.nspname = 'pg_catalog' or t.typtype = 'e')::text, \
               (select pg_catalog.quote_ident(onsp.nspname) || '.' || o.oprname \
                from pg_catalog.pg_opclass c \
                join pg_catalog.pg_am am on am.oid = c.opcmethod and am.amname = 'btree' \
                join pg_catalog.pg_amop p on p.amopfamily = c.opcfamily \
                  and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype \
                  and p.amopstrategy = 3 \
                join pg_catalog.pg_operator o on o.oid = p.amopopr \
                join pg_catalog.pg_namespace onsp on onsp.oid = o.oprnamespace \
                where c.opcdefault and c.opcintype = t.oid limit 1), \
               l.collname::text, l.collprovider::text, l.collcollate::text, \
               coalesce(l.collisdeterministic, true)::text, \
               a.attnotnull::text, (a.attgenerated <> '')::text, a.attidentity::text, \
               case when a.attgenerated = '' \
                 then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end \
             from base b join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd' \
             join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace \
             join pg_catalog.pg_attribute a on a.attrelid = $1::oid and a.attnum = b.att \
             left join pg_catalog.pg_collation l on l.oid = a.attcollation \
             left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
             order by a.attnum",
            &[oid],
        )
        .await?;
    let column = |mut row: Vec<Option<String>>| {
        let default = row.pop().flatten();
        let [
            name,
            declared,
            oid,
            kind,
            modifier,
            cast,
            native,
            equals,
            collation,
            provider,
            sorts,
            deterministic,
            not_null,
            generated,
            identity,
        ] = words(row);
        let by_bytes = match (collation.as_str(), provider.as_str()) {
            ("C" | "POSIX" | "ucs_basic", _) | (_, "b") => true,
            ("default", _) => server.by_bytes,
            (_, "c") => matches!(sorts.as_str(), "C" | "POSIX"),
            _ => false,
        };
        // In any other encoding the server's order of bytes is not that of UTF-8.
        let by_bytes = by_bytes && server.utf8;
        let modifier = modifier.parse().unwrap_or(-1);
        let kind = kind.chars().next().unwrap_or('b');
        // An extension's type may be in any schema.
        let declared = if cast.ends_with(".citext") { "citext".to_owned() } else { declared };
        TableColumn {
            form: Form::of(oid.parse().unwrap_or(0), kind, modifier),
            native: native == "true",
            equals: if equals.is_empty() { "pg_catalog.=".to_owned() } else { equals },
            collated: (!collation.is_empty()).then_some(collation),
            by_bytes,
            deterministic: deterministic == "true",
            not_null: not_null == "true",
            generated: generated == "true",
            identity: identity.chars().next(),
            name,
            declared,
            cast,
            default,
        }
    };
    Ok(rows.into_iter().map(column).collect())
}

/// The unique indexes. A column by which an index tells apart what `=` does not (another
/// collation, another operator class) is no column to seek or match by: it counts as an expression.
async fn uniques(session: &mut Session, oid: &str) -> Result<Vec<Index>, Stop> {
    let rows = session
        .strings(
            "select c.relname::text, i.indisprimary::text, (i.indpred is not null)::text, \
             a.attname::text \
             from pg_catalog.pg_index i \
             join pg_catalog.pg_class c on c.oid = i.indexrelid \
             cross join lateral rows from (pg_catalog.unnest(i.indkey::int2[]), \
               pg_catalog.unnest(i.indcollation::oid[]), pg_catalog.unnest(i.indclass::oid[])) \
               with ordinality as k(attnum, sorts, class, place) \
             left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid \
               and a.attnum = k.attnum and k.attnum > 0 \
               and (a.attcollation = k.sorts or not exists (select \
                 from pg_catalog.pg_collation l where l.oid = a.attcollation \
                 and not l.collisdeterministic)) \
               and not exists (select from pg_catalog.pg_opclass o \
                 join pg_catalog.pg_am am on am.oid = o.opcmethod and am.amname = 'btree' \
                 join pg_catalog.pg_amop p on p.amopfamily = o.opcfamily \
                   and p.amoplefttype = o.opcintype and p.amoprighttype = o.opcintype \
                   and p.amopstrategy = 3 \
                 join pg_catalog.pg_opclass d on d.opcmethod = o.opcmethod \
                   and d.opcintype = o.opcintype and d.opcdefault \
                 join pg_catalog.pg_amop q on q.amopfamily = d.opcfamily \
                   and q.amoplefttype = d.opcintype and q.amoprighttype = d.opcintype \
                   and q.amopstrategy = 3 \
                 where o.oid = k.class and p.amopopr <> q.amopopr) \
             where i.indrelid = $1::oid and i.indisunique and i.indisvalid \
             and k.place <= i.indnkeyatts \
             order by not i.indisprimary, c.relname, k.place",
            &[oid],
        )
        .await?;
    let mut found: Vec<Index> = Vec::new();
    for mut row in rows {
        let column = row.pop().flatten();
        let [name, primary, partial] = words(row);
        match found.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column),
            None => found.push(Index {
                name,
                primary: primary == "true",
                partial: partial == "true",
                columns: vec![column],
            }),
        }
    }
    Ok(found)
}
