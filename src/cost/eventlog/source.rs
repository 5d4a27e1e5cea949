//! Where an event log is, and the reading of it.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::decode::{Codec, unpack};
use super::story::{Builder, Story};
use super::{event, lines, names};
use crate::object_store::{ObjectStore as _, S3Store, StoreError};

/// Bytes that are asked for at a time; few in tests, whose logs are small.
const PIECE: u64 = if cfg!(test) { 1_000 } else { 8 << 20 };
/// Pieces that wait to be unpacked.
const AHEAD: usize = 2;

/// Where event logs are.
pub enum Place {
    /// A file, the folder of a rolling log, or a folder of logs.
    Local(PathBuf),
    /// The same in a bucket.
    Store {
        /// The bucket.
        store: Arc<S3Store>,
        /// File or folder in it, without slashes around it.
        path: String,
        /// What users call it.
        shown: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Store { shown, .. } => f.write_str(shown),
        }
    }
}

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// Nothing like it is there.
    #[error(
        "there is no event log of application {application} in {place}: give the value of spark.eventLog.dir, \
         or the log itself (eventlog_v2_{application}/ or a file {application})"
    )]
    Absent {
        /// Id of the application.
        application: String,
        /// Where it was looked for.
        place: String,
    },
    /// It is another's.
    #[error("the event log in {place} is that of application {found}, not of {application}")]
    Another {
        /// Id of the application.
        application: String,
        /// Whose it is.
        found: String,
        /// Where it is.
        place: String,
    },
    /// It is packed in a way that is not read here.
    #[error(
        "the event log {file} is packed with {codec}, which is not read here: set spark.eventLog.compression.codec to zstd \
         (Spark's own choice) or spark.eventLog.compress to false"
    )]
    Codec {
        /// File.
        file: String,
        /// How it is packed.
        codec: &'static str,
    },
    /// The place cannot be read.
    #[error("reading the event log in {place}: {why}")]
    Unreadable {
        /// Where it is.
        place: String,
        /// Why, in words without secrets.
        why: String,
    },
}

/// Reads the event log of the application with this id.
///
/// # Errors
/// There is none, or it cannot be read.
pub async fn read(place: &Place, application: &str) -> Result<Story, EventLogError> {
    let unreadable = |why: String| EventLogError::Unreadable {
        place: place.to_string(),
        why,
    };
    let files = files(place, application).await.map_err(unreadable)?;
    if files.is_empty() {
        return Err(EventLogError::Absent {
            application: application.to_owned(),
            place: place.to_string(),
        });
    }
    let mut builder = Builder::default();
    let mut broken = None;
    for file in files {
        let codec = names::codec(&file);
        if let Codec::Other(codec) = codec {
            return Err(EventLogError::Codec { file, codec });
        }
        let reader = open(place, &file).map_err(unreadable)?;
        let work = move || consume(reader, codec, builder);
        let (next, why) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        builder = next;
        broken = why.or(broken);
    }
    if builder.is_empty() {
        let why = broken.unwrap_or_else(|| "there is nothing in it yet".to_owned());
        return Err(unreadable(why));
    }
    let mut story = builder.finish();
    if !story.id.is_empty() && story.id != application {
        return Err(EventLogError::Another {
            application: application.to_owned(),
            found: story.id,
            place: place.to_string(),
        });
    }
    if story.ended.is_none() {
        let silent = || "it has no end: the driver runs, or was killed".to_owned();
        story.broken_off = story.broken_off.or(broken).or_else(|| Some(silent()));
    }
    Ok(story)
}

/// Reads one file, and says why it is not whole.
pub(super) fn consume(reader: Box<dyn Read + Send>, codec: Codec, mut builder: Builder) -> (Builder, Option<String>) {
    let reader = match unpack(reader, codec) {
        Ok(reader) => reader,
        Err(codec) => return (builder, Some(format!("{codec} is not read here"))),
    };
    let (whole, result) = lines::each(reader, lines::LONGEST, |line| match line.map(event::parse) {
        Some(Ok(Some(event))) => builder.take(event),
        Some(Err(_)) => builder.unreadable(),
        Some(Ok(None)) | None => {}
    });
    let why = match result {
        Err(error) => Some(format!("it breaks off: {error}")),
        Ok(()) if !whole => Some("it breaks off in the midst of a line".to_owned()),
        Ok(()) => None,
    };
    (builder, why)
}

/// The log's files, in order: paths, or keys.
async fn files(place: &Place, application: &str) -> Result<Vec<String>, String> {
    match place {
        Place::Local(path) => {
            if path.is_file() {
                return Ok(vec![path.display().to_string()]);
            }
            let names = listed(path).map_err(|error| error.to_string())?;
            let own = names::of_log(&names, application).into_iter();
            Ok(own.map(|name| path.join(name).display().to_string()).collect())
        }
        Place::Store { store, path, .. } => {
            let mut keys = Vec::new();
            let folder = if path.is_empty() {
                String::new()
            } else {
                format!("{path}/")
            };
            for beginning in names::beginnings(application) {
                let found = store.list(format!("{folder}{beginning}")).await;
                let found = found.map_err(|error| error.to_string())?;
                keys.extend(
                    found
                        .iter()
                        .filter_map(|key| key.strip_prefix(&folder))
                        .map(str::to_owned),
                );
            }
            let own = names::of_log(&keys, application);
            if own.is_empty() && !path.is_empty() {
                // It may be the file itself.
                return match store.get_range(path.clone(), 0, 1).await {
                    Ok(_) => Ok(vec![path.clone()]),
                    Err(StoreError::Absent) => Ok(Vec::new()),
                    Err(error) => Err(error.to_string()),
                };
            }
            Ok(own.into_iter().map(|name| format!("{folder}{name}")).collect())
        }
    }
}

/// Names in a folder and in folders in it, relative to it.
fn listed(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            for inner in std::fs::read_dir(entry.path())? {
                names.push(format!("{name}/{}", inner?.file_name().to_string_lossy()));
            }
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

fn open(place: &Place, file: &str) -> Result<Box<dyn Read + Send>, String> {
    match place {
        Place::Local(_) => match std::fs::File::open(file) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(format!("{file}: {error}")),
        },
        Place::Store { store, .. } => {
            let (sender, receiver) = mpsc::channel(AHEAD);
            tokio::spawn(fetch(store.clone(), file.to_owned(), sender));
            Ok(Box::new(Pieces {
                receiver,
                piece: Bytes::new(),
            }))
        }
    }
}

/// Sends the object's bytes piece by piece, for as long as they are wanted.
async fn fetch(store: Arc<S3Store>, key: String, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut from = 0;
    loop {
        let piece = store.get_range(key.clone(), from, PIECE).await;
        let piece = piece.map_err(|error| io::Error::other(format!("{key}: {error}")));
        let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if sender.send(piece).await.is_err() || length < PIECE {
            return;
        }
        from += length;
    }
}

/// Pieces that another task sends, as one stream.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
