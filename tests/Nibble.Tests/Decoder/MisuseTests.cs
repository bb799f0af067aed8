using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>What a program does wrong is said, and costs neither memory nor numbers.</summary>
public sealed class MisuseTests : IDisposable
{
    private readonly WorkerPool _pool = new(2);
    private readonly ModelSource _source = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
    private readonly DecoderModel _model;
    private readonly float[] _logits;

    public MisuseTests()
    {
        _model = new DecoderModel(_source, _pool);
        _logits = new float[_model.Config.Vocabulary];
    }

    [Fact]
    public void A_disposed_decoder_computes_nothing_more()
    {
        KvCache cache = _model.NewCache(8);
        _model.Forward([1, 2], cache, _logits, LogitPositions.Last);
        _model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _model.Forward([3], cache, _logits, LogitPositions.Last));
        Assert.Throws<ObjectDisposedException>(() => _model.Forward([3], [cache], _logits));
        Assert.Throws<ObjectDisposedException>(() => _model.Encode([3], new float[_model.Config.Hidden]));
        Assert.Throws<ObjectDisposedException>(() => _model.Embed([3], new float[_model.Config.Hidden]));
        Assert.Throws<ObjectDisposedException>(() => _model.Logits(new float[_model.Config.Hidden], _logits));
        _model.Dispose();
    }

    [Fact]
    public void A_disposed_cache_is_refused_and_the_decoder_goes_on()
    {
        KvCache cache = _model.NewCache(8), other = _model.NewCache(8);
        cache.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _model.Forward([3], cache, _logits, LogitPositions.Last));
        Assert.Throws<ObjectDisposedException>(() => _model.Forward([3, 4], [other, cache], new float[2 * _logits.Length]));
        _model.Forward([3], other, _logits, LogitPositions.Last);
        cache.Dispose();
    }

    [Fact]
    public void A_cache_of_another_decoder_is_refused()
    {
        using var other = new DecoderModel(_source, _pool, new DecoderOptions { BatchSize = 3 });
        using KvCache cache = other.NewCache(8);
        Assert.Throws<ArgumentException>(() => _model.Forward([3], cache, _logits, LogitPositions.Last));
        Assert.Throws<ArgumentException>(() => _model.Forward([3], [cache], _logits));
        Assert.Throws<ArgumentNullException>(() => _model.Forward([3], (KvCache)null!, _logits, LogitPositions.Last));
    }

    [Fact]
    public void Who_comes_while_it_computes_is_refused()
    {
        using KvCache cache = _model.NewCache(8), other = _model.NewCache(8);
        var thrown = new List<Exception?>();
        _model.Forward([1, 2], cache, _logits, LogitPositions.None, new Doing(() => thrown.Add(Record.Exception(() => _model.Forward([3], other, _logits, LogitPositions.Last)))));
        Assert.NotEmpty(thrown);
        Assert.All(thrown, e => Assert.IsType<InvalidOperationException>(e));
        Assert.Equal((2, 0), (cache.Length, other.Length));
    }

    [Fact]
    public void What_is_disposed_while_it_computes_is_freed_after_that()
    {
        KvCache cache = _model.NewCache(8), same = _model.NewCache(8);
        var expected = new float[_logits.Length];
        _model.Forward([1, 2, 3], same, expected, LogitPositions.Last);
        _model.Forward([1, 2, 3], cache, _logits, LogitPositions.Last, new Doing(() =>
        {
            cache.Dispose();
            _model.Dispose();
        }));
        Assert.Equal(expected, _logits);
        Assert.Throws<ObjectDisposedException>(() => _model.Forward([4], same, _logits, LogitPositions.Last));
    }

    [Fact]
    public void A_pass_that_fails_leaves_the_cache_as_it_was()
    {
        using KvCache cache = _model.NewCache(8), same = _model.NewCache(8);
        var expected = new float[_logits.Length];
        _model.Forward([1, 2, 3], same, expected, LogitPositions.Last);
        _model.Forward([1], cache, [], LogitPositions.None);
        Assert.Throws<FormatException>(() => _model.Forward([7, 8], cache, _logits, LogitPositions.Last, new Doing(() => throw new FormatException())));
        Assert.Equal([1], cache.Tokens.ToArray());
        _model.Forward([2, 3], cache, _logits, LogitPositions.Last);
        GoldenArchitectureTests.AssertClose(expected, _logits, "after a pass that failed");
    }

    [Fact]
    public void A_cancelled_prompt_stops_after_the_batch_at_hand()
    {
        using var small = new DecoderModel(_source, _pool, new DecoderOptions { BatchSize = 4 });
        using KvCache cache = small.NewCache(20);
        using var cancelling = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => small.ForwardBatches(
            [1, 2, 3, 4, 5, 6, 7, 8, 9], cache, _logits, LogitPositions.Last, new Doing(cancelling.Cancel), cancelling.Token));
        Assert.Equal([1, 2, 3, 4], cache.Tokens.ToArray());
    }

    [Fact]
    public void Spans_that_are_too_short_are_refused()
    {
        int hidden = _model.Config.Hidden;
        using KvCache cache = _model.NewLayerCache(3);
        Assert.Throws<ArgumentException>(() => _model.Embed([1, 2], new float[hidden]));
        Assert.Throws<ArgumentException>(() => _model.RunLayer(0, [1, 2], new float[hidden], cache));
        Assert.Throws<ArgumentException>(() => _model.RunLayer(0, [1, 2, 3, 4], new float[4 * hidden], cache));
        Assert.Throws<ArgumentOutOfRangeException>(() => _model.RunLayer(_model.LayerCount, [1], new float[hidden], cache));
        Assert.Throws<ArgumentException>(() => _model.Logits(new float[2 * hidden], _logits));
        Assert.Throws<ArgumentException>(() => _model.Encode([1, 2], new float[hidden]));
        Assert.Throws<ArgumentException>(() => _model.Forward([], [], []));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void A_batch_of_no_tokens_is_refused(int size) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderModel(_source, _pool, new DecoderOptions { BatchSize = size }));

    public void Dispose()
    {
        _model.Dispose();
        _source.Dispose();
        _pool.Dispose();
    }

    /// <summary>Does something when a layer is passed.</summary>
    private sealed class Doing(Action action) : IProbe
    {
        public void LinearInput(string name, Activation x) { }

        public void Hidden(int layer, ReadOnlySpan<float> states) => action();
    }
}
