//! The connections of a client: one for calls, one for watches, so that a slow watcher never holds up a call.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::{Error, Reason, Result};
use crate::retry::{self, RetryPolicy};
use crate::v1::blob_service_client::BlobServiceClient;
use crate::v1::component_service_client::ComponentServiceClient;
use crate::v1::flow_service_client::FlowServiceClient;
use crate::v1::run_service_client::RunServiceClient;
#[cfg(feature = "server")]
use crate::v1::worker_service_client::WorkerServiceClient;

/// The gateway's own bound on what it receives; its answers are smaller.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// A peer that hangs is noticed within 13 s; the gateway accepts a ping every 5 s.
const KEEPALIVE: Duration = Duration::from_secs(8);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for some watch messages under way.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Bound of the answer to a streamed submit or blob: its size decides how long the last commit takes.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);

/// `grpc.health.v1.HealthCheckRequest`, of the server as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthRequest {}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthAnswer {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl HealthAnswer {
    pub fn is_serving(&self) -> bool {
        self.status == 1
    }
}

/// How to connect with TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// PEM; None: the roots of the system.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    pub roots: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Connection {
    pub target: String,
    pub policy: RetryPolicy,
    pub timeout: Duration,
    calls: Channel,
    watches: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects with the first call.
    pub fn new(
        target: String,
        token: Option<String>,
        tls: Option<Tls>,
        timeout: Duration,
        policy: RetryPolicy,
    ) -> Result<Connection> {
        let authorization = match token {
            None => None,
            Some(token) => Some(
                format!("Bearer {token}")
                    .parse::<MetadataValue<Ascii>>()
                    .map_err(|_| Error::invalid("token", "the token holds characters that no token has"))?,
            ),
        };
        let endpoint = endpoint(&target, tls.as_ref())?;
        Ok(Connection { calls: endpoint.connect_lazy(), watches: endpoint.connect_lazy(), target, policy, timeout, authorization })
    }

    /// The same connections with another bound of unary calls.
    pub fn with_timeout(&self, timeout: Duration) -> Connection {
        Connection { timeout, ..self.clone() }
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub fn watches(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.watches.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub fn blobs(&self) -> BlobServiceClient<Channel> {
        BlobServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub fn components(&self) -> ComponentServiceClient<Channel> {
        ComponentServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    #[cfg(feature = "server")]
    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.watches.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The standard health service.
    pub async fn check_health(&self, request: Request<HealthRequest>) -> Result<Response<HealthAnswer>, Status> {
        let mut stub = tonic::client::Grpc::new(self.calls.clone());
        stub.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = tonic::codegen::http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        stub.unary(request, path, tonic_prost::ProstCodec::<HealthRequest, HealthAnswer>::default()).await
    }

    /// With the token.
    pub fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    /// Call until it succeeds, fails for good, or the time or the retries are used up. The message is the same each time.
    pub async fn unary<Q, A, F>(&self, message: Q, call: impl Fn(Request<Q>) -> F) -> Result<A>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.bounded(message, call, self.policy.max_retries).await
    }

    /// Call once.
    pub async fn unary_once<Q, A, F>(&self, message: Q, call: impl Fn(Request<Q>) -> F) -> Result<A>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.bounded(message, call, 0).await
    }

    async fn bounded<Q, A, F>(&self, message: Q, call: impl Fn(Request<Q>) -> F, max_retries: u32) -> Result<A>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        self.repeated(max_retries, Some(deadline), || {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut request = self.request(message.clone());
            request.set_timeout(left);
            let answer = call(request);
            async move { in_time(left, answer).await }
        })
        .await
    }

    /// A call that streams what is at hand; repeated like a unary one.
    pub async fn upload<Q, A, F>(&self, messages: Vec<Q>, call: impl Fn(Request<Messages<Q>>) -> F) -> Result<A>
    where
        Q: Clone + Send + 'static,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        // A message is at most some MiB: a peer that takes longer than a second for one hangs.
        let bound = COMMIT_TIMEOUT + Duration::from_secs(messages.len() as u64);
        self.repeated(self.policy.max_retries, None, || {
            let answer = call(self.request(tokio_stream::iter(messages.clone())));
            async move { in_time(bound, answer).await }
        })
        .await
    }

    /// No retry begins after `deadline`.
    pub async fn repeated<A, F>(&self, max_retries: u32, deadline: Option<Instant>, once: impl Fn() -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let mut retry = 0;
        loop {
            let error = match once().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let delay = self.policy.delay(retry, retry::dice(), &error);
            let late = deadline.is_some_and(|deadline| Instant::now() + delay >= deadline);
            if late || retry >= max_retries || !error.retryable() {
                return Err(error);
            }
            retry += 1;
            tokio::time::sleep(delay).await;
        }
    }

    /// As long as a stream may take for its answer once all of it was sent.
    pub const COMMIT_TIMEOUT: Duration = COMMIT_TIMEOUT;
}

/// Messages that are at hand.
pub(crate) type Messages<Q> = tokio_stream::Iter<std::vec::IntoIter<Q>>;

/// The answer, or TIMEOUT.
pub(crate) async fn in_time<A>(bound: Duration, answer: impl Future<Output = Result<Response<A>, Status>>) -> Result<A> {
    match tokio::time::timeout(bound, answer).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Error::new(Reason::Timeout, format!("the gateway did not answer within {bound:.1?}"))),
    }
}

fn endpoint(target: &str, tls: Option<&Tls>) -> Result<Endpoint> {
    let unusable = |why: String| Error::invalid("target", format!("{target:?} is neither unix:PATH nor HOST:PORT: {why}"));
    let is_unix = target.starts_with("unix:");
    let address = match target {
        _ if is_unix || target.contains("://") => target.to_owned(),
        _ if tls.is_some() => format!("https://{target}"),
        _ => format!("http://{target}"),
    };
    let mut endpoint = Endpoint::from_shared(address).map_err(|error| unusable(error.to_string()))?;
    if !is_unix && endpoint.uri().port_u16().is_none() {
        return Err(unusable("it has no port".to_owned()));
    }
    endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .tcp_nodelay(true);
    match tls {
        None => Ok(endpoint),
        Some(tls) => with_tls(endpoint, tls),
    }
}

#[cfg(feature = "tls")]
fn with_tls(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint> {
    use tonic::transport::{Certificate, ClientTlsConfig};
    let config = match &tls.roots {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    endpoint.tls_config(config).map_err(|error| Error::invalid("tls", error.to_string()))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_endpoint: Endpoint, _tls: &Tls) -> Result<Endpoint> {
    Err(Error::invalid("tls", "this build has no TLS: turn on the feature `tls` of the crate flowspan"))
}
