package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;

/** Finds the gateway of this user on this machine, by the files that gateways write when they start. */
public final class Discovery {
  /** Names a gateway. */
  public static final String TARGET_VARIABLE = "FLOWSPAN_TARGET";

  /** Its token. */
  public static final String TOKEN_VARIABLE = "FLOWSPAN_TOKEN";

  private static final int MAX_FILE_BYTES = 65_536;

  private Discovery() {}

  /**
   * Where to connect.
   *
   * @param token null where none is wanted
   */
  public record Place(String target, String token) {}

  /**
   * What was given, else the environment, else the newest gateway of this user. The token of a gateway of this user is found by any
   * of its addresses.
   *
   * @throws FlowspanException UNAVAILABLE if there is none
   */
  public static Place find(String target, String token) {
    return find(target, token, System.getenv());
  }

  static Place find(String target, String token, Map<String, String> environment) {
    String wanted = present(target) ? target : environment.get(TARGET_VARIABLE);
    String known = present(token) ? token : environment.get(TOKEN_VARIABLE);
    known = present(known) ? known : null;
    JsonNode server = null;
    if (!present(wanted) || known == null) {
      server = newest(runtimeDirectory(environment).resolve("servers"), present(wanted) ? wanted : null);
    }
    String found = server == null || !server.path("token").isTextual() ? null : server.get("token").asText();
    if (present(wanted)) {
      return new Place(wanted, known == null ? found : known);
    }
    if (server == null) {
      throw new FlowspanException(
          Reason.UNAVAILABLE, "no gateway was found: start one with `flowspan serve`, or set " + TARGET_VARIABLE);
    }
    return new Place(server.path("target").asText(), known == null ? found : known);
  }

  private static boolean present(String text) {
    return text != null && !text.isEmpty();
  }

  /** The directory for sockets and server files of this user. */
  static Path runtimeDirectory(Map<String, String> environment) {
    String runtime = environment.getOrDefault("XDG_RUNTIME_DIR", "");
    if (runtime.startsWith("/") && Files.isDirectory(Path.of(runtime))) {
      return Path.of(runtime, "flowspan");
    }
    String state = environment.getOrDefault("XDG_STATE_HOME", "");
    if (state.startsWith("/")) {
      return Path.of(state, "flowspan");
    }
    String home = environment.getOrDefault("HOME", "");
    home = home.isEmpty() ? System.getProperty("user.home", "") : home;
    if (home.startsWith("/") && Files.isWritable(Path.of(home))) {
      return Path.of(home, ".local", "state", "flowspan");
    }
    return Path.of(System.getProperty("java.io.tmpdir"), "flowspan-" + ownId());
  }

  /** The newest announced server whose process is alive; null if there is none. */
  private static JsonNode newest(Path servers, String address) {
    if (!isOwned(servers) || !isOwned(servers.getParent())) {
      return null;
    }
    JsonNode best = null;
    long bestAge = Long.MIN_VALUE;
    try (DirectoryStream<Path> files = Files.newDirectoryStream(servers, "*.json")) {
      for (Path file : files) {
        JsonNode server = read(file);
        if (server == null || (address != null && !listens(server, address))) {
          continue;
        }
        long age = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).to(java.util.concurrent.TimeUnit.NANOSECONDS);
        if (age > bestAge) {
          best = server;
          bestAge = age;
        }
      }
    } catch (IOException unreadable) {
      return best;
    }
    return best;
  }

  private static boolean listens(JsonNode server, String address) {
    for (JsonNode one : server.path("addresses")) {
      if (samePlace(one.asText()).equals(samePlace(address))) {
        return true;
      }
    }
    return false;
  }

  private static String samePlace(String address) {
    return address.startsWith("localhost:") ? "127.0.0.1:" + address.substring("localhost:".length()) : address;
  }

  /** What a server file says, if it can be believed and its server is alive. */
  private static JsonNode read(Path file) {
    if (!isOwned(file) || !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
      return null;
    }
    try (SeekableByteChannel channel =
        Files.newByteChannel(file, Set.of(StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS))) {
      ByteBuffer buffer = ByteBuffer.allocate(MAX_FILE_BYTES);
      while (buffer.hasRemaining() && channel.read(buffer) >= 0) {
        // until its end
      }
      JsonNode server = Json.decode(java.util.Arrays.copyOf(buffer.array(), buffer.position()));
      return ProcessHandle.of(server.path("pid").asLong(-1)).map(ProcessHandle::isAlive).orElse(false) ? server : null;
    } catch (IOException | RuntimeException unreadable) {
      return null;
    }
  }

  /** Whether only this user can have written it. */
  private static boolean isOwned(Path path) {
    try {
      PosixFileAttributes facts = Files.readAttributes(path, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
      Set<PosixFilePermission> others = EnumSet.noneOf(PosixFilePermission.class);
      others.addAll(facts.permissions());
      others.removeAll(
          EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE, PosixFilePermission.OWNER_EXECUTE));
      if (!others.isEmpty()) {
        return false;
      }
      Object own = ownId();
      return own instanceof Integer
          ? own.equals(Files.getAttribute(path, "unix:uid", LinkOption.NOFOLLOW_LINKS))
          : facts.owner().getName().equals(own);
    } catch (UnsupportedOperationException notPosix) {
      return Files.exists(path);
    } catch (IOException unreadable) {
      return false;
    }
  }

  /** The number of this user where the system tells, else the name. */
  private static Object ownId() {
    try {
      return Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    } catch (IOException | RuntimeException otherSystem) {
      return System.getProperty("user.name");
    }
  }
}
