//! Lists that come in pages and read like one stream.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::error::Result;

type Page<T> = (Vec<T>, String);
type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>>> + Send>>;
type Fetch<T> = Box<dyn Fn(String) -> Fetching<T> + Send>;

/// A stream over all pages; each is asked for when it is needed.
pub struct Pages<T> {
    fetch: Fetch<T>,
    fetching: Option<Fetching<T>>,
    ready: VecDeque<T>,
    /// Of the next page; None behind the last.
    token: Option<String>,
}

impl<T> Pages<T> {
    pub(crate) fn new<F>(fetch: impl Fn(String) -> F + Send + 'static) -> Pages<T>
    where
        F: Future<Output = Result<Page<T>>> + Send + 'static,
    {
        let fetch: Fetch<T> = Box::new(move |token| Box::pin(fetch(token)));
        Pages { fetch, fetching: None, ready: VecDeque::new(), token: Some(String::new()) }
    }

    /// What is left of the present page, or else the next one that is not empty; None behind the last.
    pub async fn next_page(&mut self) -> Option<Result<Vec<T>>> {
        match std::future::poll_fn(|context| self.poll_page(context)).await? {
            Ok(()) => Some(Ok(self.ready.drain(..).collect())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Everything that is left.
    pub async fn all(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(page) = self.next_page().await {
            all.append(&mut page?);
        }
        Ok(all)
    }

    /// Ready once there is something, or nothing will be.
    fn poll_page(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(())));
            }
            if self.fetching.is_none() {
                let Some(token) = self.token.clone() else { return Poll::Ready(None) };
                self.fetching = Some((self.fetch)(token));
            }
            let Some(fetching) = self.fetching.as_mut() else { continue };
            let page = ready!(fetching.as_mut().poll(context));
            self.fetching = None;
            match page {
                Ok((page, token)) => {
                    self.ready = page.into();
                    self.token = Some(token).filter(|token| !token.is_empty());
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<T: Unpin> Stream for Pages<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        match ready!(self.poll_page(context)) {
            Some(Ok(())) => Poll::Ready(self.ready.pop_front().map(Ok)),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Reason};
    use tokio_stream::StreamExt;

    fn numbers() -> Pages<u32> {
        Pages::new(|token| async move {
            match token.as_str() {
                "" => Ok((vec![1, 2], "a".to_owned())),
                "a" => Ok((vec![], "b".to_owned())),
                "b" => Ok((vec![3], String::new())),
                _ => Err(Error::new(Reason::InvalidArgument, "no such page")),
            }
        })
    }

    #[tokio::test]
    async fn pages_read_like_one_stream() {
        assert_eq!(numbers().map(|number| number.unwrap()).collect::<Vec<_>>().await, [1, 2, 3]);
        assert_eq!(numbers().all().await.unwrap(), [1, 2, 3]);
        let mut pages = numbers();
        assert_eq!(pages.next().await.unwrap().unwrap(), 1);
        assert_eq!(pages.next_page().await.unwrap().unwrap(), [2]);
        assert_eq!(pages.next_page().await.unwrap().unwrap(), [3]);
        assert!(pages.next_page().await.is_none());
    }
}
