package components;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.flowspan.components.ComponentError;
import org.junit.jupiter.api.Test;

final class MainTest {
  @Test
  void countsWords() throws ComponentError {
    assertEquals(4, Main.count("or not to be"));
  }

  @Test
  void refusesATextWithoutWords() {
    assertThrows(ComponentError.class, () -> Main.count(" "));
  }
}
