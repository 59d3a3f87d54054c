package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Why an item failed.
 *
 * @param code one of TIMEOUT, INVALID_INPUT, COMPONENT_FAILED, CANCELLED, UNREACHABLE, COMPONENT_NOT_FOUND, RESOURCE_UNAVAILABLE,
 *     EXPRESSION_FAILURE, ORCHESTRATOR_ERROR, WORKER_ERROR
 * @param message for people
 * @param data for machines; null if there is none
 */
public record FlowError(String code, String message, RawJson data) {
  /** An error as its JSON says it. */
  public static FlowError of(JsonNode wire) {
    JsonNode data = wire.get("data");
    return new FlowError(
        wire.path("code").asText(), wire.path("message").asText(), data == null ? null : RawJson.of(Json.encode(data)));
  }
}
