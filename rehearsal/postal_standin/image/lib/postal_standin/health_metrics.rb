# frozen_string_literal: true

module PostalStandin
  # Counters and histograms in Prometheus' text format. Labels are given as a hash; safe between threads.
  class Metrics
    BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10].freeze # seconds

    Histogram = Struct.new(:count, :sum, :buckets)

    # help: metric name => [type, description]; every name is printed, also before its first value.
    def initialize(help)
      @help = help
      @values = help.transform_values { {} }
      @mutex = Mutex.new
    end

    def increment(name, **labels)
      @mutex.synchronize { @values.fetch(name)[labels] = @values[name].fetch(labels, 0) + 1 }
    end

    def observe(name, seconds, **labels)
      @mutex.synchronize do
        histogram = (@values.fetch(name)[labels] ||= Histogram.new(0, 0.0, BUCKETS.map { 0 }))
        histogram.count += 1
        histogram.sum += seconds
        BUCKETS.each_with_index { |limit, index| histogram.buckets[index] += 1 if seconds <= limit }
      end
    end

    def to_text
      @mutex.synchronize do
        @help.map { |name, (type, text)| "# TYPE #{name} #{type}\n# HELP #{name} #{text}\n#{samples(name)}" }.join
      end
    end

    private

    def samples(name)
      @values.fetch(name).map do |labels, value|
        value.is_a?(Histogram) ? histogram_lines(name, labels, value) : line(name, labels, value)
      end.join
    end

    def histogram_lines(name, labels, histogram)
      buckets = BUCKETS.zip(histogram.buckets).map do |limit, count|
        line("#{name}_bucket", { **labels, le: limit }, count)
      end
      [*buckets, line("#{name}_bucket", { **labels, le: "+Inf" }, histogram.count),
       line("#{name}_sum", labels, histogram.sum), line("#{name}_count", labels, histogram.count)].join
    end

    def line(name, labels, value)
      pairs = labels.map { |key, text| %(#{key}="#{text.to_s.gsub(/["\\\n]/, '_')}") }
      "#{name}#{"{#{pairs.join(',')}}" unless pairs.empty?} #{value}\n"
    end
  end
end
