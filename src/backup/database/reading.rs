//! How the columns that live asks for stand in a table of the database.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};

use crate::backup::dress::{Dress, Pair};
use crate::error::Result;
use crate::fit::carry::CarrierBuilder;
use crate::fit::notes::Tally;
use crate::fit::place::Rows;
use crate::fit::refit::{is_same, keeps_order};
use crate::model::filter::Filter;
use crate::model::table::{Carrier, Column, TableName, TableSchema};
use crate::model::value::{Cells, EXACT, Value, ValueRef, fits};
use crate::source::{KeyRange, Unfit};

/// The columns of one request, as live has them and as the database has them.
#[derive(Debug)]
pub(super) struct Reading {
    dress: Dress,
    pairs: Vec<Pair>,
    /// What is read: each of the database's columns once.
    own: Vec<Column>,
    /// The key's columns, live's and the database's.
    key: Vec<(Column, Column)>,
    /// The key's columns in the database, where its order and its equality are those of live's.
    seekable: Option<Vec<Column>>,
    same: bool,
}

impl Reading {
    /// Finds live's columns in a table by their names: in exact case, else without case when
    /// that is unique.
    pub(super) fn of(table: &TableSchema, columns: &[Column], key: &[Column]) -> Result<Self> {
        let mut own: Vec<Column> = Vec::with_capacity(columns.len());
        let mut pairs = Vec::with_capacity(columns.len());
        let mut same = true;
        for live in columns {
            let here = table.require(&live.name)?;
            same &= is_same(here, live);
            if own.iter().all(|c| c.name != here.name) {
                own.push(here.clone());
            }
            let (live, file) = (live.clone(), here.name.clone());
            pairs.push(Pair { live, file, unfit: Unfit::Refuse });
        }
        let mut found = Vec::with_capacity(key.len());
        let mut seekable = Vec::with_capacity(key.len());
        for live in key {
            let here = table.require(&live.name)?;
            same &= is_same(here, live);
            // Text is compared as live compares it.
            let asked = Column { collation: live.collation.clone(), ..here.clone() };
            if keeps_order(here, live) {
                seekable.push(asked.clone());
            }
            found.push((live.clone(), asked));
        }
        let seekable = Some(seekable).filter(|seekable| seekable.len() == key.len());
        let dress = Dress::Own(Box::new(table.clone()));
        Ok(Self { dress, pairs, own, key: found, seekable, same })
    }

    /// True when all columns are of the same types on both sides.
    pub(super) fn is_same(&self) -> bool {
        self.same
    }

    /// Sets what becomes of values that live's columns can't hold.
    pub(super) fn set_unfit(&mut self, unfit: Unfit) {
        let key: Vec<Column> = self.key.iter().map(|(live, _)| live.clone()).collect();
        Pair::all(&mut self.pairs, unfit, &key);
    }

    /// What is read of the database.
    pub(super) fn columns(&self) -> &[Column] {
        &self.own
    }

    /// The key as the database has it, where it orders and tells apart what live does.
    pub(super) fn key(&self) -> Option<&[Column]> {
        self.seekable.as_deref()
    }

    /// Live's columns of a batch of the database's.
    pub(super) fn fit(
        &self,
        batch: &RecordBatch,
        table: &TableName,
        tally: &mut Tally,
    ) -> Result<RecordBatch> {
        let place = |(_, key): &(Column, Column)| self.own.iter().position(|c| c.name == key.name);
        let key: Vec<usize> = self.key.iter().filter_map(place).collect();
        self.dress.undress(batch, &self.pairs, table, Rows::Keyed(batch, &key), tally)
    }

    /// Live's keys as keys of the database, without those that it can't have.
    pub(super) fn keys(&self, keys: &RecordBatch) -> Result<RecordBatch> {
        let names = self.key.iter().map(|(live, _)| (&*live.name, &*live.name, live.carrier));
        let cells = Cells::new(keys, names, EXACT)?;
        let mut builders: Vec<CarrierBuilder> = self
            .key
            .iter()
            .map(|(_, here)| CarrierBuilder::new(here.carrier, keys.num_rows()))
            .collect();
        for row in 0..keys.num_rows() {
            let tuple: Vec<ValueRef<'_>> =
                (0..self.key.len()).map(|at| cells.get(row, at)).collect::<Result<_>>()?;
            let known = |(value, (_, here)): (&ValueRef<'_>, &(Column, Column))| {
                !value.is_null() && fits(*value, here.carrier)
            };
            if tuple.iter().zip(&self.key).all(known) {
                builders.iter_mut().zip(tuple).for_each(|(builder, value)| builder.push(value));
            }
        }
        let arrays: Vec<ArrayRef> = builders.into_iter().map(|b| b.finish().array).collect();
        let fields: Vec<Field> = self.key.iter().map(|(_, here)| here.field()).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }

    /// The part of a filter that means the same in the database: over columns of the same
    /// type, and over integers. `None` when there is none.
    pub(super) fn filter(&self, filter: &Filter) -> Option<Filter> {
        Some(match filter {
            Filter::And(parts) => {
                let mut kept: Vec<Filter> = parts.iter().filter_map(|p| self.filter(p)).collect();
                if kept.len() < 2 { kept.pop()? } else { Filter::And(kept) }
            }
            Filter::Or(parts) => {
                Filter::Or(parts.iter().map(|p| self.filter(p)).collect::<Option<_>>()?)
            }
            Filter::Compare { column, op, value } => {
                Filter::Compare { column: self.filtered(column)?, op: *op, value: value.clone() }
            }
            Filter::In { column, values } => {
                Filter::In { column: self.filtered(column)?, values: values.clone() }
            }
            Filter::IsNull(column) => Filter::IsNull(self.filtered(column)?),
            Filter::IsNotNull(column) => Filter::IsNotNull(self.filtered(column)?),
        })
    }

    /// The database's name of a column that both sides filter alike.
    fn filtered(&self, name: &str) -> Option<String> {
        let pair = self.pairs.iter().find(|pair| pair.live.name == name)?;
        let here = self.own.iter().find(|c| c.name == pair.file)?;
        let integers = (here.carrier, pair.live.carrier) == (Carrier::Int, Carrier::Int);
        (is_same(here, &pair.live) || integers && keeps_order(here, &pair.live))
            .then(|| here.name.clone())
    }
}

/// A key range in the database's own values.
#[derive(Debug)]
pub(super) enum Bounds {
    /// This range.
    In(KeyRange),
    /// Nothing that it can hold is in the range.
    Nothing,
}

impl Bounds {
    /// A range of live's values, where the database's column travels in this carrier.
    pub(super) fn of(range: &KeyRange, carrier: Carrier) -> Self {
        let most = |value: &Value| carrier == Carrier::Int && matches!(value, Value::Unsigned(_));
        if range.lower.as_ref().is_some_and(most) {
            return Bounds::Nothing;
        }
        let held = |value: &Value| match value {
            Value::Int(..0) if carrier == Carrier::Unsigned => Value::Int(0),
            other => other.clone(),
        };
        let lower = range.lower.as_ref().map(held);
        let upper = range.upper.as_ref().filter(|upper| !most(upper)).map(held);
        Bounds::In(KeyRange { lower, upper })
    }
}
