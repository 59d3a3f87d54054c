"""A component server with one component."""

from dataclasses import dataclass

from flowspan import ComponentServer

WORDS = {"en": "Hello", "fr": "Bonjour", "de": "Hallo", "el": "Γειά σου"}

server = ComponentServer()


@dataclass
class Person:
    name: str
    language: str = "en"


@dataclass
class Greeting:
    text: str


@server.component
def greet(person: Person) -> Greeting:
    """Greets somebody in their language."""
    return Greeting(f"{WORDS[person.language]}, {person.name}!")


if __name__ == "__main__":
    server.run()
