//! The components of one server, by name.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::context::{BlockingContext, Context};
use super::failure::Failure;

type Answer = Result<Bytes, Failure>;
type AsyncCode = Box<dyn Fn(Bytes, Context) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;
type BlockingCode = Box<dyn Fn(Bytes, BlockingContext) -> Answer + Send + Sync>;
type InlineCode = Box<dyn Fn(&[u8]) -> Answer + Send + Sync>;

/// Where a component runs, and its code.
pub(crate) enum Code {
    Async(AsyncCode),
    Blocking(BlockingCode),
    Inline(InlineCode),
}

/// One component: its name begins with a slash.
pub(crate) struct Component {
    pub name: String,
    pub description: Option<String>,
    pub input_schema: Option<Value>,
    pub output_schema: Option<Value>,
    pub code: Code,
}

/// The parameters of a path, by name.
pub(crate) type Parameters = Box<[(String, String)]>;

/// A component that was found, with the parameters of its path.
pub(crate) struct Found {
    pub component: Arc<Component>,
    pub parameters: Parameters,
}

#[derive(Default)]
pub(crate) struct Registry {
    components: Vec<Arc<Component>>,
    by_name: HashMap<String, usize>,
}

impl Registry {
    /// The new component's position.
    pub fn add(&mut self, name: &str, code: Code) -> usize {
        let name = format!("/{}", name.trim_matches('/'));
        assert!(name.len() > 1, "a component needs a name");
        assert!(!self.by_name.contains_key(&name), "there is already a component {name}");
        let position = self.components.len();
        self.by_name.insert(name[1..].to_owned(), position);
        self.by_name.insert(name.clone(), position);
        let component = Component { name, description: None, input_schema: None, output_schema: None, code };
        self.components.push(Arc::new(component));
        position
    }

    /// For what is said about a component after it was added; it is shared with nobody yet.
    pub fn get_mut(&mut self, position: usize) -> Option<&mut Component> {
        Arc::get_mut(self.components.get_mut(position)?)
    }

    /// In the order of their registration.
    pub fn all(&self) -> &[Arc<Component>] {
        &self.components
    }

    pub fn find(&self, name: &str) -> Option<Found> {
        if let Some(position) = self.by_name.get(name) {
            return Some(Found { component: self.components[*position].clone(), parameters: Parameters::default() });
        }
        self.components.iter().find_map(|component| {
            let parameters = parameters_of(&component.name, name)?;
            Some(Found { component: component.clone(), parameters })
        })
    }
}

/// The parameters of `path` where it fits `pattern`, whose parts in braces stand for any part.
fn parameters_of(pattern: &str, path: &str) -> Option<Parameters> {
    if !pattern.contains('{') {
        return None;
    }
    let mut given = path.trim_matches('/').split('/');
    let mut parameters = Vec::new();
    for part in pattern.trim_matches('/').split('/') {
        let text = given.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if !text.is_empty() => parameters.push((name.to_owned(), text.to_owned())),
            None if part == text => {}
            _ => return None,
        }
    }
    given.next().is_none().then(|| parameters.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline() -> Code {
        Code::Inline(Box::new(|input| Ok(Bytes::copy_from_slice(input))))
    }

    #[test]
    fn components_are_found_by_name_and_by_pattern() {
        let mut registry = Registry::default();
        registry.add("echo", inline());
        registry.add("/users/{id}/mail/{box}", inline());
        assert_eq!(registry.find("/echo").unwrap().component.name, "/echo");
        assert_eq!(registry.find("echo").unwrap().component.name, "/echo");
        let found = registry.find("/users/7/mail/in").unwrap();
        assert_eq!(&found.parameters[..], [("id".to_owned(), "7".to_owned()), ("box".to_owned(), "in".to_owned())]);
        assert!(registry.find("/users/7/mail").is_none());
        assert!(registry.find("/users//mail/in").is_none());
        assert!(registry.find("/users/7/mail/in/x").is_none());
    }

    #[test]
    #[should_panic(expected = "already a component /a")]
    fn a_name_is_given_once() {
        let mut registry = Registry::default();
        registry.add("a", inline());
        registry.add("/a", inline());
    }
}
