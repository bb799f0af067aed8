using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Sampling;
using Nibble.Models.Tokenizers;

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

    private static GenerationOptions Of(int count) => new(count, SamplingOptions.Greedy, []);

    public void Dispose()
    {
        _model.Dispose();
        _source.Dispose();
        _pool.Dispose();
    }
}
