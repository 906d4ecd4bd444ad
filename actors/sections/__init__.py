"""Parts of the configuration, each with its bounds; `actors.settings` puts them together."""
