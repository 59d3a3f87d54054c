package dev.flowspan;

import java.util.List;

/** All components, by path, and the plugins that offer them, by name. */
public record ComponentList(List<Component> components, List<Plugin> plugins) {}
