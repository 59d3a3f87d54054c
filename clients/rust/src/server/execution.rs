//! Executions from their request to their answer, whatever the wire: begun, timed, cancelled, and answered once.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::context::{BlockingContext, Context};
use super::failure::Failure;
use super::registry::{Code, Component, Found, Parameters, Registry};
use super::runs::Runs;
use crate::json::RawJson;

/// An execution that runs for so long is reported as begun; shorter ones answer by themselves.
const STARTED_NOTICE: Duration = Duration::from_secs(1);
/// Whatever runs for so long by then is reported with it: two notices a second at most, however many executions there are.
const STARTED_TOGETHER: Duration = Duration::from_millis(500);
/// From its time-out blocking code has so long to notice it; what runs on holds its thread for good, as far as we can tell.
const OVERRUN: Duration = Duration::from_secs(1);
/// How late a time-out may be noticed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the gateway knows an execution: its number, or on stdio any id, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallId {
    Number(u64),
    Text(Box<str>),
}

impl CallId {
    pub fn of_json(text: &str) -> CallId {
        text.parse().map_or_else(|_| CallId::Text(text.into()), CallId::Number)
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallId::Number(number) => number.fmt(f),
            CallId::Text(text) => f.write_str(text),
        }
    }
}

/// What the executions of one step of one run share.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    pub trace_id: Option<String>,
    pub run_id: Option<String>,
    pub flow_id: Option<String>,
    pub step_id: Option<String>,
    /// Of `traceparent`, two hex digits.
    pub flags: Option<String>,
    /// For one that came alone.
    pub span_id: Option<String>,
    pub traceparent: Option<String>,
    pub item_index: Option<u64>,
    #[serde(skip)]
    pub span_prefix: String,
    #[serde(skip)]
    pub token_prefix: String,
}

/// What was told with one execution alone, instead of being derived.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub task_token: Option<String>,
    pub idempotency_token: Option<String>,
    pub observability: Option<RawJson>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    Cancelled = 1,
    TimedOut = 2,
    Disconnected = 3,
}

#[derive(Default)]
struct Clock {
    began: Option<Instant>,
    /// Open waits on runs; while there is one, no time-out runs.
    waits: u32,
    parked_since: Option<Instant>,
    waited: Duration,
    timed_out: Option<Instant>,
    told_begun: bool,
}

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const DROPPED: u8 = 2;
/// Blocking code has returned.
const DONE: u8 = 3;

/// State of one execution.
pub(crate) struct Execution {
    pub id: CallId,
    /// 0 for one whose id is no number.
    pub number: u64,
    pub component: Arc<Component>,
    pub parameters: Parameters,
    pub origin: Arc<Origin>,
    pub said: Option<Box<Said>>,
    pub item_index: Option<u64>,
    pub attempt: u32,
    pub timeout: Option<Duration>,
    /// Came with others, and is answered with others.
    pub bulk: bool,
    input: Mutex<Bytes>,
    stage: AtomicU8,
    answered: AtomicBool,
    stop: AtomicU8,
    stopped: Notify,
    clock: Mutex<Clock>,
}

impl Execution {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        id: CallId,
        found: Found,
        input: Bytes,
        origin: Arc<Origin>,
        said: Option<Box<Said>>,
        item_index: Option<u64>,
        attempt: u32,
        timeout: Option<Duration>,
        bulk: bool,
    ) -> Arc<Execution> {
        let number = match id {
            CallId::Number(number) => number,
            CallId::Text(_) => 0,
        };
        Arc::new(Execution {
            id,
            number,
            component: found.component,
            parameters: found.parameters,
            origin,
            said,
            item_index,
            attempt,
            timeout,
            bulk,
            input: Mutex::new(input),
            stage: AtomicU8::new(QUEUED),
            answered: AtomicBool::new(false),
            stop: AtomicU8::new(0),
            stopped: Notify::new(),
            clock: Mutex::default(),
        })
    }

    pub fn task_token(&self) -> Option<String> {
        match &self.said {
            Some(said) => said.task_token.clone(),
            None => Some(format!("{}{:x}", self.origin.token_prefix, self.number)),
        }
    }

    pub fn idempotency_token(&self) -> Option<String> {
        if let Some(token) = self.said.as_ref().and_then(|said| said.idempotency_token.clone()) {
            return Some(token);
        }
        let (run_id, step_id) = (self.origin.run_id.as_deref()?, self.origin.step_id.as_deref()?);
        Some(crate::idempotency::idempotency_token(run_id, self.item_index?, step_id))
    }

    fn span_id(&self) -> Option<String> {
        match &self.origin.span_id {
            Some(span) => Some(span.clone()),
            None if self.said.is_none() => Some(format!("{}{:010x}", self.origin.span_prefix, self.number)),
            None => None,
        }
    }

    pub fn traceparent(&self) -> Option<String> {
        if self.origin.traceparent.is_some() {
            return self.origin.traceparent.clone();
        }
        let flags = self.origin.flags.as_deref().unwrap_or("01");
        Some(format!("00-{}-{}-{flags}", self.origin.trace_id.as_deref()?, self.span_id()?))
    }

    pub fn stop(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Acquire) {
            1 => Some(Stop::Cancelled),
            2 => Some(Stop::TimedOut),
            3 => Some(Stop::Disconnected),
            _ => None,
        }
    }

    /// Ready once the result is not wanted any more.
    pub async fn stopped(&self) {
        let mut notified = pin!(self.stopped.notified());
        // Registered before it is looked at, so that nothing is missed.
        notified.as_mut().enable();
        if self.stop().is_none() {
            notified.await;
        }
    }

    fn request_stop(&self, stop: Stop) {
        let _ = self.stop.compare_exchange(0, stop as u8, Ordering::AcqRel, Ordering::Acquire);
        self.stopped.notify_waiters();
    }

    /// Whether its code may run now; it begins once, or was dropped before.
    fn begin(&self) -> bool {
        let began = self.stage.compare_exchange(QUEUED, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if began {
            locked(&self.clock).began = Some(Instant::now());
        }
        began
    }

    fn drop_unbegun(&self) -> bool {
        self.stage.compare_exchange(QUEUED, DROPPED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True once: whoever gets it answers.
    fn take_answer(&self) -> bool {
        !self.answered.swap(true, Ordering::AcqRel)
    }

    fn take_input(&self) -> Bytes {
        std::mem::take(&mut *locked(&self.input))
    }

    /// Its time-out rests until the guard is dropped.
    pub fn waiting(self: &Arc<Self>) -> Waiting {
        let mut clock = locked(&self.clock);
        clock.waits += 1;
        if clock.waits == 1 {
            clock.parked_since = Some(Instant::now());
        }
        Waiting(self.clone())
    }
}

/// An open wait on a run.
pub(crate) struct Waiting(Arc<Execution>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut clock = locked(&self.0.clock);
        clock.waits -= 1;
        if clock.waits == 0 {
            let since = clock.parked_since.take();
            clock.waited += since.map(|since| since.elapsed()).unwrap_or_default();
        }
    }
}

/// Where answers go: the wire that the executions came over.
pub(crate) trait Wire: Send + Sync {
    fn answer(&self, execution: &Execution, answer: Result<Bytes, Failure>);
    fn progress(&self, execution: &Execution, fraction: f64, message: Option<&str>);
    fn runs(&self, execution: &Execution) -> Runs;
}

/// What a sweep has found.
#[derive(Default)]
pub(crate) struct Swept {
    /// To be reported as begun.
    pub begun: Vec<CallId>,
    /// How many hold a thread although they have timed out long ago.
    pub overrunning: usize,
}

/// All executions of one connection.
pub(crate) struct Executor {
    pub registry: Arc<Registry>,
    wire: OnceLock<Arc<dyn Wire>>,
    runtime: Handle,
    open: Mutex<HashMap<CallId, Arc<Execution>>>,
    /// Blocking code that timed out and was answered, but still holds its thread.
    overrunning: Mutex<Vec<Arc<Execution>>>,
    changed: Notify,
    emptied: Notify,
}

impl Executor {
    pub fn new(registry: Arc<Registry>, runtime: Handle) -> Arc<Executor> {
        Arc::new(Executor {
            registry,
            wire: OnceLock::new(),
            runtime,
            open: Mutex::default(),
            overrunning: Mutex::default(),
            changed: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// To be called once, before anything is begun.
    pub fn connect(&self, wire: Arc<dyn Wire>) {
        let _ = self.wire.set(wire);
    }

    fn wire(&self) -> &Arc<dyn Wire> {
        self.wire.get().expect("an executor is connected before it begins anything")
    }

    pub fn is_empty(&self) -> bool {
        locked(&self.open).is_empty()
    }

    /// Ready when nothing is being executed.
    pub async fn idle(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    pub fn held(&self) -> Vec<u64> {
        locked(&self.open).values().map(|execution| execution.number).collect()
    }

    /// Begin them; inline ones are answered when this returns.
    pub fn begin(self: &Arc<Self>, executions: Vec<Arc<Execution>>) {
        let (inline, others): (Vec<_>, Vec<_>) =
            executions.into_iter().partition(|execution| matches!(execution.component.code, Code::Inline(_)));
        if !others.is_empty() {
            let mut open = locked(&self.open);
            for execution in &others {
                open.insert(execution.id.clone(), execution.clone());
            }
        }
        self.changed.notify_one();
        for execution in others {
            let executor = self.clone();
            match execution.component.code {
                Code::Async(_) => drop(self.runtime.spawn(async move { executor.run_async(execution).await })),
                _ => drop(self.runtime.spawn_blocking(move || executor.run_blocking(&execution))),
            }
        }
        for execution in inline {
            if let Code::Inline(code) = &execution.component.code
                && execution.begin()
            {
                let input = execution.take_input();
                let answer = catch_unwind(AssertUnwindSafe(|| code(&input)));
                self.finish(&execution, answer.unwrap_or_else(|panic| Err(Failure::panicked(&*panic))));
            }
        }
    }

    async fn run_async(self: Arc<Self>, execution: Arc<Execution>) {
        let Code::Async(code) = &execution.component.code else { return };
        if !execution.begin() {
            return;
        }
        let context = Context::new(self.wire().clone(), execution.clone());
        let input = execution.take_input();
        let answer = match catch_unwind(AssertUnwindSafe(|| code(input, context))) {
            Ok(future) => {
                tokio::select! {
                    biased;
                    answer = CatchUnwind(future) => answer,
                    // The code is dropped where it waits.
                    () = execution.stopped() => Err(Failure::cancelled()),
                }
            }
            Err(panic) => Err(Failure::panicked(&*panic)),
        };
        self.finish(&execution, answer);
    }

    fn run_blocking(self: Arc<Self>, execution: &Arc<Execution>) {
        let Code::Blocking(code) = &execution.component.code else { return };
        if !execution.begin() {
            return;
        }
        let context = BlockingContext::new(self.wire().clone(), execution.clone(), self.runtime.clone());
        let input = execution.take_input();
        let answer = match catch_unwind(AssertUnwindSafe(|| code(input, context))) {
            // What it says about being told to stop is told by us.
            Ok(Err(_)) if execution.stop().is_some() => Err(Failure::cancelled()),
            Ok(answer) => answer,
            Err(panic) => Err(Failure::panicked(&*panic)),
        };
        self.finish(execution, answer);
        let mut overrunning = locked(&self.overrunning);
        execution.stage.store(DONE, Ordering::Release);
        overrunning.retain(|other| !Arc::ptr_eq(other, execution));
    }

    /// The answer, if there was none, and the end of the execution.
    pub fn finish(&self, execution: &Execution, answer: Result<Bytes, Failure>) {
        if !execution.take_answer() {
            return;
        }
        // Answered first: whoever finds it gone may rely on its answer being under way.
        self.wire().answer(execution, answer);
        self.remove(&execution.id);
    }

    fn remove(&self, id: &CallId) {
        let mut open = locked(&self.open);
        open.remove(id);
        if open.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn find(&self, id: &CallId) -> Option<Arc<Execution>> {
        locked(&self.open).get(id).cloned()
    }

    /// These are not wanted any more: which never begin, and which run and were told.
    pub fn cancel(&self, ids: &[CallId]) -> (Vec<CallId>, Vec<CallId>) {
        let (mut dropped, mut running) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(execution) = self.find(id) else { continue };
            let is_dropped = execution.drop_unbegun();
            execution.request_stop(Stop::Cancelled);
            if is_dropped {
                dropped.push(id.clone());
            } else {
                running.push(id.clone());
            }
        }
        (dropped, running)
    }

    /// As `cancel`; those that never begin are answered.
    pub fn cancel_and_answer(&self, ids: &[CallId]) -> (Vec<CallId>, Vec<CallId>) {
        let (dropped, running) = self.cancel(ids);
        for id in &dropped {
            if let Some(execution) = self.find(id) {
                self.finish(&execution, Err(Failure::cancelled()));
            }
        }
        (dropped, running)
    }

    /// Forget what has not begun; it never will. Nothing is answered.
    pub fn give_back(&self, ids: Option<&[CallId]>) -> Vec<CallId> {
        let candidates: Vec<_> = match ids {
            Some(ids) => ids.iter().filter_map(|id| self.find(id)).collect(),
            None => locked(&self.open).values().cloned().collect(),
        };
        let unbegun = candidates.into_iter().filter(|execution| execution.drop_unbegun() && execution.take_answer());
        unbegun.map(|execution| execution.id.clone()).inspect(|id| self.remove(id)).collect()
    }

    /// Nobody wants these (None: any) any more: they are told, and whatever they answer is dropped.
    pub fn abandon(&self, ids: Option<&[CallId]>) {
        let abandoned: Vec<_> = match ids {
            Some(ids) => ids.iter().filter_map(|id| self.find(id)).collect(),
            None => locked(&self.open).values().cloned().collect(),
        };
        for execution in abandoned {
            execution.drop_unbegun();
            execution.take_answer();
            execution.request_stop(Stop::Disconnected);
            self.remove(&execution.id);
        }
    }

    /// Keeps time-outs for as long as it is polled.
    pub async fn sweep_forever(&self, mut report: impl FnMut(Swept)) {
        loop {
            if self.is_empty() && locked(&self.overrunning).is_empty() {
                self.changed.notified().await;
            }
            tokio::time::sleep(SWEEP_INTERVAL).await;
            report(self.sweep(Instant::now()));
        }
    }

    fn sweep(&self, now: Instant) -> Swept {
        let (mut expired, mut begun, mut young) = (Vec::new(), Vec::new(), Vec::new());
        for execution in locked(&self.open).values() {
            let mut clock = locked(&execution.clock);
            // What has not begun has no time to lose yet.
            let Some(began) = clock.began else { continue };
            let ran = now.saturating_duration_since(began);
            let is_over = execution.timeout.is_some_and(|timeout| clock.waits == 0 && ran >= timeout + clock.waited);
            if is_over {
                clock.timed_out = Some(now);
                expired.push(execution.clone());
            } else if !clock.told_begun && ran >= STARTED_NOTICE {
                begun.push(execution.clone());
            } else if !clock.told_begun && ran >= STARTED_TOGETHER {
                young.push(execution.clone());
            }
        }
        for execution in expired {
            self.finish(&execution, Err(Failure::timed_out()));
            execution.request_stop(Stop::TimedOut);
            if matches!(execution.component.code, Code::Blocking(_)) {
                let mut overrunning = locked(&self.overrunning);
                if execution.stage.load(Ordering::Acquire) != DONE {
                    overrunning.push(execution);
                }
            }
        }
        if !begun.is_empty() {
            begun.append(&mut young);
        }
        for execution in &begun {
            locked(&execution.clock).told_begun = true;
        }
        let overrunning = locked(&self.overrunning);
        let is_overrunning = |execution: &&Arc<Execution>| locked(&execution.clock).timed_out.is_some_and(|at| now >= at + OVERRUN);
        Swept {
            begun: begun.iter().map(|execution| execution.id.clone()).collect(),
            overrunning: overrunning.iter().filter(is_overrunning).count(),
        }
    }
}

/// A future whose panic is a failure of its item.
struct CatchUnwind(Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>);

impl Future for CatchUnwind {
    type Output = Result<Bytes, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Result<Bytes, Failure>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(Failure::panicked(&*panic))),
        }
    }
}
