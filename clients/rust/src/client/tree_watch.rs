//! Following a run and all its sub-runs, at any depth.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tonic::Streaming;

use super::Client;
use super::resuming::Resumption;
use crate::error::{Error, Reason, Result};
use crate::v1;
use crate::view::{ItemResult, RunFold, RunStatus};

/// What has come of one run of the tree: where it stands, and the results that are new, which may be none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeNews {
    /// Without results.
    pub status: RunStatus,
    /// The new ones.
    pub results: Vec<ItemResult>,
}

/// A run and its sub-runs as they go on: a stream over any number of lost connections. The news of one run come in its own order;
/// runs come as the gateway has them, each first with its beginning. It ends when all have ended.
pub struct TreeWatch {
    news: mpsc::Receiver<Result<TreeNews>>,
    task: AbortHandle,
}

impl TreeWatch {
    pub(crate) fn follow(client: Client, run_id: String) -> TreeWatch {
        let (send, news) = mpsc::channel(4);
        let follower = Follower { client, run_id, folds: BTreeMap::new(), deleted: HashSet::new(), news: send };
        TreeWatch { news, task: tokio::spawn(follower.run()).abort_handle() }
    }

    /// What comes next, of one run; None when all have ended.
    pub async fn next(&mut self) -> Option<Result<TreeNews>> {
        self.news.recv().await
    }
}

impl Stream for TreeWatch {
    type Item = Result<TreeNews>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<TreeNews>>> {
        Poll::Ready(ready!(self.news.poll_recv(context)))
    }
}

impl Drop for TreeWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follower {
    client: Client,
    run_id: String,
    folds: BTreeMap<String, RunFold>,
    deleted: HashSet<String>,
    news: mpsc::Sender<Result<TreeNews>>,
}

impl Follower {
    async fn run(mut self) {
        let mut resumption = Resumption::new(self.client.policy().clone());
        let mut stream = None;
        loop {
            let error = match self.step(&mut stream, &mut resumption).await {
                Ok(true) => return,
                Ok(false) => continue,
                Err(error) => error,
            };
            stream = None;
            match resumption.next_delay(&error, true) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => {
                    let _ = self.news.send(Err(error.with("runId", self.run_id.clone()))).await;
                    return;
                }
            }
        }
    }

    /// One message; whether nothing comes any more.
    async fn step(&mut self, stream: &mut Option<Streaming<v1::WatchRunResponse>>, resumption: &mut Resumption) -> Result<bool> {
        if stream.is_none() {
            *stream = Some(self.open().await?);
        }
        let Some(messages) = stream.as_mut() else { return Ok(false) };
        let Some(message) = messages.message().await? else {
            if self.is_behind_the_end().await? {
                return Ok(true);
            }
            return Err(Error::new(Reason::Unavailable, "the stream ended before the runs did"));
        };
        resumption.succeeded();
        let run_id = if message.run_id.is_empty() { self.run_id.clone() } else { message.run_id };
        let fold = self.folds.entry(run_id).or_default();
        let mut fresh = Vec::new();
        for segment in message.segments {
            fold.apply(segment, &mut fresh)?;
        }
        fold.through_seq = fold.through_seq.max(message.through_seq);
        let Some(status) = fold.snapshot() else { return Ok(false) };
        let mut results: Vec<ItemResult> = fresh.into_iter().map(|(_, result)| result).collect();
        for result in &mut results {
            self.client.read_payload(result).await?;
        }
        let _ = self.news.send(Ok(TreeNews { status, results })).await;
        Ok(false)
    }

    async fn open(&self) -> Result<Streaming<v1::WatchRunResponse>> {
        let mut cursors: BTreeMap<String, u64> =
            self.folds.iter().map(|(run_id, fold)| (run_id.clone(), fold.through_seq)).collect();
        let request = v1::WatchRunRequest {
            run_id: self.run_id.clone(),
            after_seq: cursors.remove(&self.run_id).unwrap_or(0),
            options: Some(v1::WatchOptions { whole_tree: true, ..v1::WatchOptions::default() }),
            tree_after_seq: cursors,
        };
        let connection = self.client.connection();
        Ok(connection.watches().watch_run(connection.request(request)).await?.into_inner())
    }

    /// The gateway ends the stream once every run has ended; a connection that breaks cleanly does so as well. Of a sub-run that
    /// ended and was deleted while nobody was connected, no end is ever heard.
    async fn is_behind_the_end(&mut self) -> Result<bool> {
        for (run_id, fold) in &self.folds {
            if fold.is_terminal() || self.deleted.contains(run_id) {
                continue;
            }
            match self.client.get_run(run_id).await {
                Err(error) if error.reason() == Reason::RunNotFound && *run_id != self.run_id => {
                    self.deleted.insert(run_id.clone());
                }
                Err(error) => return Err(error),
                Ok(_) => return Ok(false),
            }
        }
        Ok(!self.folds.is_empty())
    }
}
