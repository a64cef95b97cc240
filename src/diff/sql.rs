//! Read-only SQL over both sides: `live.<table>`, `backup.<table>`, and the table function
//! `diff('<table>')` that gives the change stream as rows.
//!
//! Queries, EXPLAIN, SHOW and DESCRIBE run; whatever would define, write or set something
//! is refused before it is planned. A value that its column's type can't show is an error,
//! never NULL.

mod function;
mod names;
mod shape;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::GetFieldAccess;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::diff::planner::RowDiffQueryPlanner;
use crate::diff::sql::function::DiffFunction;
use crate::diff::sql::names::Names;
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::mount::Mount;
use crate::mount::catalog::Sides;

/// A session over both sides of a mount.
pub struct Sql {
    context: SessionContext,
    names: Names,
}

impl Sql {
    /// Describes every table of both sides and makes a session over them.
    pub async fn open(mount: Arc<Mount>) -> Result<Self> {
        let sides = Sides::of(&mount).await?;
        let mut names = Names::default();
        for which in [Which::Backup, Which::Live] {
            for table in mount.tables(which) {
                if let Some(schema) = mount.known_schema(which, table) {
                    names.add(&table.name, schema.columns.iter().map(|c| c.name.as_str()));
                }
            }
        }
        let state = mount.state().with_query_planner(Arc::new(RowDiffQueryPlanner)).build();
        let mut context = SessionContext::new_with_state(state);
        context.register_catalog("restorekit", Arc::new(sides));
        context.register_udtf("diff", Arc::new(DiffFunction::new(mount)));
        datafusion::execution::FunctionRegistry::register_expr_planner(
            &mut context,
            Arc::new(FieldAccess),
        )?;
        Ok(Self { context, names })
    }

    /// The statements of a text; an error when one of them is not a query.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        let statements = DFParser::parse_sql(text).map_err(wrong)?;
        statements.into_iter().map(|statement| self.readable(statement)).collect()
    }

    /// True when a text ends where a statement does: at a semicolon that stands in no
    /// string, quoted name or comment.
    pub fn is_complete(text: &str) -> bool {
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return false };
        let last = tokens.iter().rfind(|token| !matches!(token, Token::Whitespace(_)));
        matches!(last, Some(Token::SemiColon))
    }

    /// Runs one of [`Sql::parse`]'s statements. Rows are read as the stream is.
    pub async fn run(&self, statement: Statement) -> Result<SendableRecordBatchStream> {
        tracing::info!(%statement, "a query begins");
        let plan = self.context.state().statement_to_plan(statement).await.map_err(wrong)?;
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(|_| refused("such a statement"))?;
        let frame = self.context.execute_logical_plan(plan).await.map_err(wrong)?;
        frame.execute_stream().await.map_err(wrong)
    }

    fn readable(&self, mut statement: Statement) -> Result<Statement> {
        match &mut statement {
            Statement::Statement(inner) => match inner.as_mut() {
                SqlStatement::Query(_)
                | SqlStatement::Explain { .. }
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowFunctions { .. }
                | SqlStatement::ShowVariable { .. } => {
                    self.names.resolve(inner);
                    Ok(statement)
                }
                other => Err(refused(&first_word(&other.to_string()))),
            },
            Statement::Explain(explain) => {
                let inner = self.readable((*explain.statement).clone())?;
                *explain.statement = inner;
                Ok(statement)
            }
            other => Err(refused(&first_word(&other.to_string()))),
        }
    }
}

fn first_word(sql: &str) -> String {
    sql.split_whitespace().next().unwrap_or_default().to_uppercase()
}

fn refused(what: &str) -> Error {
    Error::refused(format!("{what} is refused: sql only reads"))
        .hint("SELECT, EXPLAIN, SHOW and DESCRIBE run; rows are written by restore and patch")
}

/// Errors of parsing and planning are the query's; others keep their kind.
fn wrong(e: DataFusionError) -> Error {
    match e {
        DataFusionError::SQL(e, _) => Error::usage(format!("the SQL can't be read: {e}")),
        DataFusionError::Plan(message) => Error::usage(message),
        DataFusionError::SchemaError(e, _) => Error::usage(e.to_string()),
        DataFusionError::NotImplemented(message) => {
            Error::usage(format!("the query engine can't do this: {message}"))
        }
        DataFusionError::Diagnostic(_, inner) => wrong(*inner),
        DataFusionError::Context(context, inner) => match wrong(*inner) {
            e if e.kind() == crate::error::Kind::Usage => e,
            e => e.hint(context),
        },
        DataFusionError::Collection(mut all) if !all.is_empty() => wrong(all.swap_remove(0)),
        other => Error::from(other),
    }
}

/// `backup['title']`: a field of a struct.
#[derive(Debug)]
struct FieldAccess;

#[async_trait]
impl ExprPlanner for FieldAccess {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        _: &DFSchema,
    ) -> DfResult<PlannerResult<RawFieldAccessExpr>> {
        match access.field_access {
            GetFieldAccess::NamedStructField { name } => {
                Ok(PlannerResult::Planned(get_field(access.expr, name)))
            }
            _ => Ok(PlannerResult::Original(access)),
        }
    }
}
