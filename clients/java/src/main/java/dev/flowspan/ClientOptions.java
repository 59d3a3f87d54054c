package dev.flowspan;

import java.time.Duration;

/** How a client connects. What is not set is found: see {@link FlowspanClient#connect()}. */
public final class ClientOptions {
  String target;
  String token;
  boolean tls;
  byte[] trustedRoots;
  Duration timeout = Duration.ofSeconds(10);
  RetryPolicy retry = RetryPolicy.DEFAULT;

  /** {@code unix:/path} or {@code host:port}; default: FLOWSPAN_TARGET, else the gateway that runs on this machine. */
  public ClientOptions target(String target) {
    this.target = target;
    return this;
  }

  /** Sent with every call; default: FLOWSPAN_TOKEN, else the one of the gateway that was found. */
  public ClientOptions token(String token) {
    this.token = token;
    return this;
  }

  /** Speak TLS, and trust what Java trusts. */
  public ClientOptions tls() {
    this.tls = true;
    return this;
  }

  /** Speak TLS, and trust these root certificates, in PEM. */
  public ClientOptions tls(byte[] trustedRoots) {
    this.tls = true;
    this.trustedRoots = trustedRoots.clone();
    return this;
  }

  /** Bound of a unary call, its retries included; 10 s unless set. */
  public ClientOptions timeout(Duration timeout) {
    this.timeout = timeout;
    return this;
  }

  /** Which failures are tried again, and when. */
  public ClientOptions retry(RetryPolicy retry) {
    this.retry = retry;
    return this;
  }

  /** Whether a token was set. */
  public boolean hasToken() {
    return token != null && !token.isEmpty();
  }

  /** Where these options lead to, as of now. */
  public Discovery.Place find() {
    return Discovery.find(target, token);
  }

  /** The same, for a place that was found. */
  public ClientOptions at(Discovery.Place place) {
    return copy().target(place.target()).token(place.token());
  }

  ClientOptions copy() {
    ClientOptions copy = new ClientOptions();
    copy.target = target;
    copy.token = token;
    copy.tls = tls;
    copy.trustedRoots = trustedRoots;
    copy.timeout = timeout;
    copy.retry = retry;
    return copy;
  }
}
