# frozen_string_literal: true

# Where scripts that need no models find Postal::Config and the facts about the installation.
$LOAD_PATH.unshift(File.expand_path("..", __dir__))
require "postal_standin/config"
require "postal_standin/installation"
