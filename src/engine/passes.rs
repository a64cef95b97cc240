//! Many rows in few statements: what a server refuses is halved until it is one row, and rows that a
//! unique index or a reference refused are tried again while others go through.

use crate::engine::stop::Stop;
use crate::model::conflict::Reason;
use crate::model::plan::Op;
use crate::target::Written;

/// How often refused rows are tried again while others go through.
const PASSES: usize = 16;

/// What a statement did to a row.
pub(crate) enum Went {
    /// It was written.
    Through,
    /// It was not: why.
    Refused(Reason, String),
}

/// The statements over rows of one table, as an engine makes them. `rows` are all that are to be
/// written; a row is told by its place among them.
pub(crate) trait Statements {
    /// The rows of `some` that rows of other tables refer to, and of which.
    fn hung(
        &mut self,
        rows: &[usize],
        some: &[usize],
    ) -> impl Future<Output = Result<Vec<(usize, String)>, Stop>> + Send;

    /// How many rows a statement has at most.
    fn most(&self) -> usize;

    /// Writes `some` in one statement, and says what became of each; `None`, of more than one row,
    /// where nothing of it stands and its halves are to be tried.
    fn one_statement(
        &mut self,
        rows: &[usize],
        some: &[usize],
    ) -> impl Future<Output = Result<Option<Vec<Went>>, Stop>> + Send;
}

/// Writes these rows. Rows that a unique index or a reference refused are tried again,
/// backwards, while others go through: a chain of moves or a parent in the same table
/// frees its way. A tree is taken down from its leaves, however deep.
pub(crate) async fn write(
    statements: &mut impl Statements,
    op: Op,
    rows: &[usize],
) -> Result<Vec<Written>, Stop> {
    let mut outcome = vec![Written::Done; rows.len()];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if op == Op::Delete {
        order.reverse();
    }
    let mut passes = 0;
    while passes < PASSES {
        let hung = statements.hung(rows, &order).await?;
        let (barred, free): (Vec<usize>, Vec<usize>) =
            order.iter().partition(|i| hung.iter().any(|(hung, _)| hung == *i));
        for (i, shown) in hung {
            let detail = format!("rows of {shown} reference it");
            outcome[i] = Written::Refused(Reason::ForeignKey, detail);
        }
        let mut again = Vec::new();
        let mut through = false;
        for (i, went) in halved(statements, rows, &free).await? {
            match went {
                Went::Through => {
                    outcome[i] = Written::Done;
                    through = true;
                }
                Went::Refused(reason, detail) => {
                    if matches!(reason, Reason::Exists | Reason::Recreated | Reason::ForeignKey) {
                        again.push(i);
                    }
                    outcome[i] = Written::Refused(reason, detail);
                }
            }
        }
        passes += usize::from(!again.is_empty());
        again.extend(barred);
        if again.is_empty() || !through {
            break;
        }
        again.reverse();
        order = again;
    }
    Ok(outcome)
}

/// What became of each row of `order`.
async fn halved(
    statements: &mut impl Statements,
    rows: &[usize],
    order: &[usize],
) -> Result<Vec<(usize, Went)>, Stop> {
    let mut went = Vec::with_capacity(order.len());
    let mut due: Vec<&[usize]> = order.chunks(statements.most()).rev().collect();
    while let Some(some) = due.pop() {
        match statements.one_statement(rows, some).await? {
            Some(each) => went.extend(some.iter().copied().zip(each)),
            None => {
                let (first, second) = some.split_at(some.len() / 2);
                due.extend([second, first]);
            }
        }
    }
    Ok(went)
}
