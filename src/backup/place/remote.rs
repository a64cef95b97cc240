//! Objects in stores: `s3://`, `gs://`, `az://` and `https://`, by the usual environment variables.
//!
//! An object is read by ranges, each of which must be of the object that was found at first (its
//! entity tag, where the store has one): what is written over meanwhile is noticed. No credential
//! and no query of a URL is ever in an error.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt,
    ObjectStoreScheme, RetryConfig,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// The variables of the environment that stores are reached by (`AWS_..`, `GOOGLE_..`, `AZURE_..`).
pub type Variables = Vec<(String, SecretString)>;

const SCHEMES: [&str; 9] =
    ["s3://", "s3a://", "gs://", "az://", "azure://", "abfs://", "abfss://", "https://", "http://"];

/// True for the URL of an object or a folder of objects.
pub fn is_remote(location: &str) -> bool {
    SCHEMES.iter().any(|scheme| location.starts_with(scheme))
}

/// A URL as it is shown: without user, password and query.
pub(super) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
    // abfss://container@account is no secret.
    let host = match host.rsplit_once('@') {
        Some((_, host)) if scheme.starts_with("http") => host,
        _ => host,
    };
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}

/// A store, and the place in it that was named.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    /// The object or the folder.
    pub(super) key: Key,
    /// The URL, without secrets.
    pub(super) shown: String,
    /// It can tell what is in a folder.
    pub(super) lists: bool,
    secrets: Arc<Vec<SecretString>>,
}

impl Remote {
    /// Finds the store that a URL names; nothing is asked of it yet.
    pub(super) fn open(url: &str, variables: &Variables) -> Result<Self> {
        let shown = shown(url);
        let wrong = |e: String| Error::usage(format!("{shown} is no URL of a store: {e}"));
        let parsed = url.parse().map_err(|_| wrong("it can't be parsed".into()))?;
        let (scheme, key) = ObjectStoreScheme::parse(&parsed).map_err(|e| wrong(e.to_string()))?;
        let given = |name: &str| variables.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if url.starts_with("http://") && !local {
            return Err(Error::refused(format!("{shown} would be read without encryption"))
                .hint("write https://; only this host itself is read by http://"));
        }
        // A body may take as long as it takes; its ranges are short.
        let client = ClientOptions::new().with_connect_timeout(Duration::from_secs(5));
        let retry = RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(20),
            ..RetryConfig::default()
        };
        let mut secrets: Vec<SecretString> =
            variables.iter().filter(|v| is_secret(&v.0)).map(|(_, value)| value.clone()).collect();
        secrets.extend(parsed.query().map(|query| query.to_owned().into()));
        secrets.extend(parsed.password().map(|password| password.to_owned().into()));
        /// A builder with the variables that it knows.
        macro_rules! built {
            ($builder:ty) => {{
                let mut builder =
                    <$builder>::new().with_client_options(client).with_retry(retry).with_url(url);
                for (name, value) in variables {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, value.expose_secret());
                    }
                }
                builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }};
        }
        let lists = !matches!(scheme, ObjectStoreScheme::Http);
        let store = match scheme {
            ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder),
            ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder),
            ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder),
            ObjectStoreScheme::Http => {
                // The query stays: it may be what gives the right to read.
                let mut base = parsed.clone();
                base.set_path("/");
                let client = client.with_allow_http(local);
                HttpBuilder::new()
                    .with_client_options(client)
                    .with_retry(retry)
                    .with_url(base.to_string())
                    .build()
                    .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }
            _ => return Err(wrong("its scheme is not read".into())),
        };
        match store {
            Ok(store) => Ok(Self { store, key, shown, lists, secrets: secrets.into() }),
            Err(e) => {
                let hint = match given("AZURE_STORAGE_ACCOUNT_NAME") || !url.starts_with("az") {
                    true => "set the store's usual variables: AWS_.., GOOGLE_.., AZURE_..",
                    false => "set AZURE_STORAGE_ACCOUNT_NAME and its key",
                };
                let text = scrubbed(&e.to_string(), &secrets);
                Err(Error::usage(format!("{shown} can't be reached so")).because(text).hint(hint))
            }
        }
    }

    /// The object at the place that was named; `None` where there is none.
    pub(super) async fn object(&self) -> Result<Option<Object>> {
        use object_store::Error as E;
        let head = GetOptions { head: true, ..GetOptions::default() };
        let mut found = self.store.get_opts(&self.key, head).await;
        let refused = matches!(
            found,
            Err(E::NotFound { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. })
        );
        if refused && !self.lists {
            // A signed URL gives the right to one method, which is to read, and some servers know no other.
            let little =
                GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
            let read = match self.store.get_opts(&self.key, little).await {
                Err(E::NotSupported { .. }) => self.store.get(&self.key).await,
                read => read,
            };
            if matches!(read, Ok(_) | Err(E::NotFound { .. })) {
                found = read;
            }
        }
        match found {
            Ok(found) => Ok(Some(self.of(found.meta))),
            Err(E::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed(&self.shown, e)),
        }
    }

    /// Every object below the place, at most so many.
    pub(super) async fn below(&self, most: usize) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        let mut listed = self.store.list(Some(&self.key));
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|e| self.failed(&self.shown, e))?;
            if found.len() == most {
                return Err(Error::refused(format!(
                    "{} holds more than {most} objects",
                    self.shown
                ))
                .hint("name the folder of one backup"));
            }
            found.push(self.of(meta));
        }
        Ok(found)
    }

    fn of(&self, meta: ObjectMeta) -> Object {
        let within = meta.location.prefix_match(&self.key);
        let mut shown = self.shown.trim_end_matches('/').to_owned();
        for part in within.into_iter().flatten() {
            shown.push('/');
            shown.push_str(part.as_ref());
        }
        Object {
            remote: self.clone(),
            meta,
            shown,
            handle: Handle::current(),
            blocks: Mutex::default(),
        }
    }

    /// What a failed request means.
    fn failed(&self, shown: &str, e: object_store::Error) -> Error {
        use object_store::Error as E;
        let cause = scrubbed(&e.to_string(), &self.secrets);
        // Of a listing, that code comes as any other failure does.
        let no_bucket = cause.contains("<Code>NoSuchBucket</Code>");
        let told = match e {
            E::NotFound { .. } => Error::failed(format!("{shown} does not exist"))
                .hint("check the bucket and the name"),
            E::PermissionDenied { .. } => {
                Error::failed(format!("{shown} may not be read with these credentials"))
                    .hint("they need the rights to read objects and to list them")
            }
            E::Unauthenticated { .. } => Error::failed(format!("{shown} asks for credentials"))
                .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the store's own variables"),
            E::Precondition { .. } => {
                Error::damaged(format!("{shown} changed while it was read"))
                    .hint("run again once whatever writes it has ended")
            }
            _ if no_bucket => Error::failed(format!("{shown} does not exist: there is no such bucket"))
                .hint("check the name of the bucket, and the endpoint (AWS_ENDPOINT_URL)"),
            _ => Error::failed(format!("{shown} can't be read"))
                .hint("check the network, the endpoint (AWS_ENDPOINT_URL), the region and the credentials"),
        };
        told.because(cause)
    }
}

/// True for the name of a variable whose value must not be seen.
fn is_secret(name: &str) -> bool {
    ["KEY", "SECRET", "TOKEN", "SAS", "PASSWORD", "CREDENTIAL"].iter().any(|w| name.contains(w))
}

/// A text without the values that must not be seen.
fn scrubbed(text: &str, secrets: &[SecretString]) -> String {
    let secrets = secrets.iter().map(ExposeSecret::expose_secret);
    secrets
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// An object, read by position.
pub struct Object {
    remote: Remote,
    meta: ObjectMeta,
    shown: String,
    handle: Handle,
    /// The blocks that were read last, the newest in front.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// What is read at once where a reader jumps about.
const BLOCK: u64 = 1 << 20;

/// How many blocks are kept: a reader of many columns goes on in as many places.
const KEPT: usize = 64;

/// What is read at once where all of an object is.
const PIECE: u64 = 8 << 20;

impl Object {
    /// Its size in bytes.
    pub(in crate::backup) fn size(&self) -> u64 {
        self.meta.size
    }

    /// Its URL, without secrets.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The parts of its name below the place that was named.
    pub(super) fn below(&self) -> Vec<String> {
        let parts = self.meta.location.prefix_match(&self.remote.key);
        parts.into_iter().flatten().map(|part| part.as_ref().to_owned()).collect()
    }

    /// What tells its content from another, where the store has it.
    pub(in crate::backup) fn tag(&self) -> Option<&str> {
        self.meta.e_tag.as_deref()
    }

    /// These of its bytes.
    pub(super) async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        self.asked(range).await?.ok_or_else(|| {
            Error::failed(format!(
                "{} is on a server that gave ranges and does not now",
                self.shown
            ))
            .hint("run again, or fetch it and name the file")
        })
    }

    /// These of its bytes; `None` where the server gives the whole only.
    pub(super) async fn asked(&self, range: Range<u64>) -> Result<Option<Bytes>> {
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/")),
            ..GetOptions::default()
        };
        let failed = |e| self.remote.failed(&self.shown, e);
        let got = match self.remote.store.get_opts(&self.meta.location, options).await {
            Err(object_store::Error::NotSupported { .. }) => return Ok(None),
            got => self.same(got.map_err(failed)?)?,
        };
        let bytes = got.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != length {
            return Err(self.cut());
        }
        Ok(Some(bytes))
    }

    /// An answer, where it is of the object that was found at first.
    fn same(&self, got: GetResult) -> Result<GetResult> {
        let (now, then) = (&got.meta, &self.meta);
        // Lists tell times more finely than answers do.
        let timed = !self.remote.lists && then.e_tag.is_none();
        if now.size == then.size && !(timed && now.last_modified != then.last_modified) {
            return Ok(got);
        }
        Err(Error::damaged(format!("{} changed while it was read", self.shown))
            .hint("run again once whatever writes it has ended"))
    }

    fn cut(&self) -> Error {
        Error::damaged(format!("{} is cut short", self.shown))
            .hint("run again, or fetch it and name the file")
    }

    /// Writes all of it into a file in the order in which it comes: for a server that gives no ranges.
    pub(super) async fn stream(&self, to: Arc<File>) -> Result<()> {
        let failed = |e| self.remote.failed(&self.shown, e);
        let got = self.remote.store.get(&self.meta.location).await.map_err(failed)?;
        let mut pieces = self.same(got)?.into_stream();
        let mut at = 0;
        while let Some(bytes) = pieces.next().await {
            let bytes = bytes.map_err(failed)?;
            let start = at;
            at += bytes.len() as u64;
            if at > self.size() {
                return Err(self.cut());
            }
            write_at(Arc::clone(&to), bytes, start).await?;
        }
        if at == self.size() { Ok(()) } else { Err(self.cut()) }
    }

    /// Writes all of it into a file, a few pieces at once.
    pub(super) async fn write(self: &Arc<Self>, to: Arc<File>) -> Result<()> {
        let pieces = (0..self.size()).step_by(PIECE as usize).map(|start| {
            let (object, to) = (Arc::clone(self), Arc::clone(&to));
            async move {
                let bytes = object.range(start..(start + PIECE).min(object.size())).await?;
                write_at(to, bytes, start).await
            }
        });
        futures::stream::iter(pieces).buffer_unordered(4).try_collect::<()>().await
    }

    /// Reads from byte `at` on into the buffer, as far as one block goes. Blocks; not for the async
    /// threads.
    pub(in crate::backup) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.size() || buffer.is_empty() {
            return Ok(0);
        }
        let start = at / BLOCK * BLOCK;
        let block = self.block(start).map_err(io::Error::other)?;
        let bytes = &block[(at - start) as usize..];
        let read = bytes.len().min(buffer.len());
        buffer[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn block(&self, start: u64) -> Result<Bytes> {
        let kept = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept().iter().find(|(at, _)| *at == start) {
            return Ok(bytes.clone());
        }
        let end = (start + BLOCK).min(self.size());
        let bytes = self.handle.block_on(self.range(start..end))?;
        let mut kept = kept();
        kept.push_front((start, bytes.clone()));
        kept.truncate(KEPT);
        Ok(bytes)
    }
}

/// Writes on a thread that may block.
async fn write_at(to: Arc<File>, bytes: Bytes, at: u64) -> Result<()> {
    let written = tokio::task::spawn_blocking(move || to.write_all_at(&bytes, at));
    Ok(written.await.map_err(|e| Error::failed("a writing thread was lost").because(e))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w2_urls_are_shown_without_their_secrets() {
        for (url, safe) in [
            ("s3://b/k/t.parquet", "s3://b/k/t.parquet"),
            ("https://u:hunter2@h:1/a/b?X-Amz-Signature=hunter2", "https://h:1/a/b"),
            ("https://h", "https://h"),
            (
                "abfss://c@account.dfs.core.windows.net/x?sig=hunter2",
                "abfss://c@account.dfs.core.windows.net/x",
            ),
        ] {
            assert_eq!(shown(url), safe);
            assert!(is_remote(url));
        }
        assert!(!is_remote("mysql://h/d") && !is_remote("/s3://b") && !is_remote("-"));
    }

    #[test]
    fn w13_only_this_host_is_read_without_encryption() {
        let error = Remote::open("http://example.org/t.csv", &Vec::new()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Refused);
        assert!(Remote::open("http://localhost:1/t.csv", &Vec::new()).is_ok());
    }
}
