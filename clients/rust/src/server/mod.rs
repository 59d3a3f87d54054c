//! Component servers: code that a gateway calls, over stdio or as a gRPC worker.

mod context;
mod execution;
mod failure;
mod registry;
mod runs;
mod stdio;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::ClientBuilder;
use crate::error::{Error, Reason, Result};
use crate::json;

pub use context::{BlockingContext, BlockingWatch, Context, Facts};
use failure::Failure;
pub use failure::{ComponentError, ComponentResult};
use registry::{Code, Component, Registry};
pub use runs::RunWatch;

/// Names the queue that a worker takes work from; where it is set, a component server is a worker.
pub const QUEUE_VARIABLE: &str = "FLOWSPAN_QUEUE";

const DEFAULT_CAPACITY: u32 = 256;
const MAX_CAPACITY: u32 = 4_096;
/// Blocking components that wait for sub-runs hold threads beyond the capacity; idle ones end by themselves.
const MAX_THREADS: usize = 65_536;
/// After the gateway has gone, how long code that blocks may take.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// Components and how they are served.
///
/// ```no_run
/// use flowspan::{ComponentServer, Context};
///
/// fn main() -> flowspan::Result<()> {
///     let mut server = ComponentServer::new();
///     server.component("/double", |number: f64, _: Context| async move { Ok(2.0 * number) });
///     server.run()
/// }
/// ```
pub struct ComponentServer {
    registry: Registry,
    capacity: u32,
    queue: Option<String>,
    client: ClientBuilder,
    drain_timeout: Duration,
}

impl Default for ComponentServer {
    fn default() -> ComponentServer {
        ComponentServer::new()
    }
}

/// What else is known of a component.
pub struct Registration<'a>(Option<&'a mut Component>);

impl Registration<'_> {
    /// What it does, for people.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        if let Some(component) = &mut self.0 {
            component.description = Some(text.into());
        }
        self
    }

    /// JSON Schema of its input.
    pub fn input_schema(mut self, schema: Value) -> Self {
        if let Some(component) = &mut self.0 {
            component.input_schema = Some(schema);
        }
        self
    }

    /// JSON Schema of its output.
    pub fn output_schema(mut self, schema: Value) -> Self {
        if let Some(component) = &mut self.0 {
            component.output_schema = Some(schema);
        }
        self
    }
}

fn read_input<I: DeserializeOwned>(input: &[u8]) -> Result<I, Failure> {
    serde_json::from_slice(input).map_err(|error| Failure::unreadable_input(&error))
}

fn write_output<O: Serialize>(output: ComponentResult<O>) -> Result<bytes::Bytes, Failure> {
    json::encode(&output.map_err(Failure::from)?).map_err(|error| Failure::unwritable_output(&error))
}

impl ComponentServer {
    /// No components, a capacity of 256.
    pub fn new() -> ComponentServer {
        ComponentServer {
            registry: Registry::default(),
            capacity: DEFAULT_CAPACITY,
            queue: None,
            client: ClientBuilder::default(),
            drain_timeout: Duration::from_secs(30),
        }
    }

    /// Executions that the gateway may have in flight here, waits for sub-runs not counted; 1 to 4096.
    pub fn capacity(mut self, executions: u32) -> ComponentServer {
        self.capacity = executions.clamp(1, MAX_CAPACITY);
        self
    }

    /// Be a worker of this queue, whatever the environment says.
    pub fn queue(mut self, queue: impl Into<String>) -> ComponentServer {
        self.queue = Some(queue.into());
        self
    }

    /// How a worker reaches its gateway, where it is not by the environment.
    pub fn gateway(mut self, client: ClientBuilder) -> ComponentServer {
        self.client = client;
        self
    }

    /// How long a worker that is told to end (SIGTERM) finishes what it holds; default 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> ComponentServer {
        self.drain_timeout = timeout;
        self
    }

    /// Register async code: `|input: I, context: Context| async move { Ok(output) }`. It is dropped where it awaits when the
    /// execution is cancelled or its time is over. Parts of the name in braces are parameters of the path: `/users/{id}`.
    ///
    /// # Panics
    /// The name is empty or taken.
    pub fn component<I, O, F, C>(&mut self, name: &str, code: C) -> Registration<'_>
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        F: Future<Output = ComponentResult<O>> + Send + 'static,
        C: Fn(I, Context) -> F + Send + Sync + 'static,
    {
        let code = Arc::new(code);
        self.add(
            name,
            Code::Async(Box::new(move |input, context| {
                let code = code.clone();
                Box::pin(async move {
                    let input: I = read_input(&input)?;
                    write_output(code(input, context).await)
                })
            })),
        )
    }

    /// Register code that blocks, or computes for long; it runs on threads of its own.
    ///
    /// # Panics
    /// The name is empty or taken.
    pub fn blocking_component<I, O, C>(&mut self, name: &str, code: C) -> Registration<'_>
    where
        I: DeserializeOwned,
        O: Serialize,
        C: Fn(I, BlockingContext) -> ComponentResult<O> + Send + Sync + 'static,
    {
        self.add(name, Code::Blocking(Box::new(move |input, context| write_output(code(read_input(&input)?, context)))))
    }

    /// Register a small pure function, which runs where requests are read: it must neither wait nor compute for long.
    ///
    /// # Panics
    /// The name is empty or taken.
    pub fn inline_component<I, O, C>(&mut self, name: &str, code: C) -> Registration<'_>
    where
        I: DeserializeOwned,
        O: Serialize,
        C: Fn(I) -> ComponentResult<O> + Send + Sync + 'static,
    {
        self.add(name, Code::Inline(Box::new(move |input| write_output(code(read_input(input)?)))))
    }

    fn add(&mut self, name: &str, code: Code) -> Registration<'_> {
        let position = self.registry.add(name, code);
        Registration(self.registry.get_mut(position))
    }

    /// Serve the gateway that started this process, or the queue of `FLOWSPAN_QUEUE`; returns when the gateway is gone, or the
    /// worker was told to end.
    ///
    /// On stdio stdout is the log from here on: whatever prints there, in this process or a child, goes to stderr.
    pub fn run(self) -> Result<()> {
        let queue = self.chosen_queue();
        // Before any thread is there that could print.
        let wire = match queue {
            Some(_) => None,
            None => Some(self.take_over_stdio()?),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(MAX_THREADS)
            .thread_name("flowspan")
            .build()
            .map_err(|error| Error::new(Reason::Internal, format!("no runtime could be started: {error}")))?;
        let served = runtime.block_on(async {
            match (wire, queue) {
                (Some(wire), _) => stdio::serve(Arc::new(self.registry), self.capacity, wire).await,
                (None, queue) => {
                    let end = worker::told_to_end()?;
                    self.work(queue.unwrap_or_default(), end).await
                }
            }
        });
        runtime.shutdown_timeout(EXIT_GRACE);
        served
    }

    /// As [`ComponentServer::run`] on a runtime of yours. Its `max_blocking_threads` bounds blocking components.
    pub async fn serve(self) -> Result<()> {
        match self.chosen_queue() {
            Some(queue) => {
                let end = worker::told_to_end()?;
                self.work(queue, end).await
            }
            None => {
                let wire = self.take_over_stdio()?;
                stdio::serve(Arc::new(self.registry), self.capacity, wire).await
            }
        }
    }

    async fn work(self, queue: String, end: impl Future<Output = ()>) -> Result<()> {
        worker::serve(Arc::new(self.registry), self.capacity, queue, self.client, self.drain_timeout, end).await
    }

    fn chosen_queue(&self) -> Option<String> {
        self.queue.clone().or_else(|| std::env::var(QUEUE_VARIABLE).ok()).filter(|queue| !queue.is_empty())
    }

    fn take_over_stdio(&self) -> Result<stdio::pipes::WirePipes> {
        if stdio::pipes::is_terminal_input() {
            let names: Vec<&str> = self.registry.all().iter().map(|component| component.name.as_str()).collect();
            eprintln!(
                "This program is a Flowspan component server with {} component(s): {}\n\
                 It is started by a gateway and speaks JSON-RPC on its stdin and stdout; there is nothing to type here.\n\
                 Name it in flowspan.yml as a plugin of type stdio, set {QUEUE_VARIABLE} to make it a worker, or end it with Ctrl-D.",
                names.len(),
                names.join(", "),
            );
        }
        stdio::pipes::take_over_stdio()
            .map_err(|error| Error::new(Reason::Internal, format!("stdin and stdout cannot be taken over: {error}")))
    }
}
