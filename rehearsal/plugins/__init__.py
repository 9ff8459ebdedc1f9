"""Stand-ins for provider plugins that package registries do not have, behind the real plugin protocol.

They perform resources for real (SSH, HTTP) and keep the contract of the plugin they stand for; each module says which
version that is and what was read where. Where the real plugin is found it is used instead.
"""

from rehearsal.plugins.launch import LANGUAGE, PLUGINS, launchers, plugin_in_use, real_plugin

__all__ = ["LANGUAGE", "PLUGINS", "launchers", "plugin_in_use", "real_plugin"]
