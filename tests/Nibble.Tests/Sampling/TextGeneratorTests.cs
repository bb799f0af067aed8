using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Sampling;
using Nibble.Models.Tokenizers;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Sampling;

public sealed class TextGeneratorTests : IDisposable
{
    private readonly WorkerPool _pool = new(1);
    private readonly ModelSource _source = ModelSource.Open(EmbeddedModel.Folder);
    private readonly DecoderModel _model;
    private readonly TextGenerator _generator;

    public TextGeneratorTests()
    {
        _model = new DecoderModel(_source, _pool);
        _generator = new TextGenerator(_model, Tokenizer.Of(_source));
    }

    [Fact]
    public void What_is_cancelled_had_given_its_text_until_then()
    {
        using var cancelling = new CancellationTokenSource();
        var pieces = new List<string>();
        Assert.Throws<OperationCanceledException>(() => _generator.Generate([5, 6, 7], Of(100), piece =>
        {
            pieces.Add(piece);
            if (pieces.Count == 3) cancelling.Cancel();
        }, cancelling.Token));
        Assert.Equal(3, pieces.Count);
        string text = _generator.Generate([5, 6, 7], Of(100), _ => { }, TestContext.Current.CancellationToken).Text;
        Assert.StartsWith(string.Concat(pieces), text, StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_asked_for_is_refused()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Assert.Throws<UnusableInputException>(() => _generator.Generate([], Of(1), _ => { }, cancellation));
        Assert.Throws<UnusableInputException>(() => _generator.Generate([5], Of(1) with { StopTexts = ["end", ""] }, _ => { }, cancellation));
        Assert.Throws<ArgumentNullException>(() => _generator.Generate(null!, Of(1), _ => { }, cancellation));
        Assert.Throws<ArgumentOutOfRangeException>(() => _generator.Generate([5], Of(-1), _ => { }, cancellation));
        Assert.Equal(StopReason.Length, _generator.Generate([5], Of(0), _ => { }, cancellation).Reason);
    }

    [Fact]
    public void A_conversation_goes_on_without_being_read_again()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using KvCache cache = _model.NewCache(64);
        int[] prompt = [5, 6, 7];
        Generation first = _generator.Generate(prompt, cache, Of(8), _ => { }, cancellation);
        Assert.Equal((0, StopReason.Length), (first.CachedTokens, first.Reason));
        int[] turn = [.. prompt, .. first.Tokens, 8, 9];
        Generation second = _generator.Generate(turn, cache, Of(8), _ => { }, cancellation);
        Assert.Equal((prompt.Length + 7, turn.Length), (second.CachedTokens, second.PromptTokens));
        Assert.Equal(_generator.Generate(turn, Of(8), _ => { }, cancellation).Tokens, second.Tokens);

        Generation again = _generator.Generate(prompt, cache, Of(8), _ => { }, cancellation);
        Assert.Equal(2, again.CachedTokens);
        Assert.Equal(first.Tokens, again.Tokens);
        Assert.Equal(0, _generator.Generate([9], cache, Of(1), _ => { }, cancellation).CachedTokens);
    }

    [Fact]
    public void A_beginning_that_a_sliding_window_has_passed_is_read_again()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using var folder = new TemporaryFolder();
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.WithTokenizer("mistral-sliding", folder.PathOf("model")));
        using var model = new DecoderModel(source, _pool, new DecoderOptions { BatchSize = 4 });
        var generator = new TextGenerator(model, Tokenizer.Of(source));
        using KvCache cache = model.NewCache(200);
        int[] prompt = [5, 6, 7];
        generator.Generate(prompt, cache, Of(150), _ => { }, cancellation);
        Generation again = generator.Generate(prompt, cache, Of(8), _ => { }, cancellation);
        Assert.Equal(0, again.CachedTokens);
        Assert.Equal(generator.Generate(prompt, Of(8), _ => { }, cancellation).Tokens, again.Tokens);
    }

    [Fact]
    public void A_cache_that_is_full_ends_the_text_and_one_that_is_too_small_is_refused()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using KvCache cache = _model.NewCache(6);
        Generation generation = _generator.Generate([5, 6, 7], cache, Of(10), _ => { }, cancellation);
        Assert.Equal((StopReason.Context, 4), (generation.Reason, generation.Tokens.Count));
        Assert.Throws<ArgumentException>(() => _generator.Generate([5, 6, 7, 8, 9, 10, 11], cache, Of(1), _ => { }, cancellation));
        Assert.Throws<ArgumentNullException>(() => _generator.Generate([5], null!, Of(1), _ => { }, cancellation));
    }

    private static GenerationOptions Of(int count) => new(count, SamplingOptions.Greedy, []);

    public void Dispose()
    {
        _model.Dispose();
        _source.Dispose();
        _pool.Dispose();
    }
}
